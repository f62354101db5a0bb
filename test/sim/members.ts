/**
 * Members that are alive but do not work, in virtual time: two real control APIs over one store, one of which at a time
 * is hung (it accepts calls and answers none) or deaf (its store sends it nothing), while a third, healthy one writes.
 * The test records what a client with the two URLs sees, through the product's own failover.
 */
import { Client, FailoverTransport, injectTransport, type Transport } from "#client";
import { OWN_HOST_RULES } from "#health";
import { createControlApi } from "#server/control-api";
import { openMemoryStore, type Store } from "#store";
import { fork, Life, never, simHost, SimTime, Trace } from "./host.ts";
import { replaced } from "./mutations.ts";

/** Milliseconds of a bad day, and of one fault in it. */
const DAY_MS = 60_000;
const FAULT_MS = { least: 6_000, more: 10_000 };
const WRITE_MS = 250;

export type MemberFault = "hung" | "deaf";

class Plight {
  fault: MemberFault | undefined;
  readonly #waiting = new Set<() => void>();

  async while(fault: MemberFault): Promise<void> {
    while (this.fault === fault) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  end(): void {
    this.fault = undefined;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

export interface MemberMutation {
  readonly when: string;
  /** A client's transport to a member. */
  readonly way: (transport: Transport) => Transport;
}

export const NO_MEMBER_MUTATION: MemberMutation = { when: "nothing is broken", way: (transport) => transport };

export interface MemberDay {
  /** Longest time from a write until the client's watch had it. Milliseconds. */
  readonly longestGapMs: number;
  readonly faults: number;
  readonly trace: string;
}

export async function memberDay(seed: number, mutation: MemberMutation = NO_MEMBER_MUTATION): Promise<MemberDay> {
  const time = new SimTime();
  const trace = new Trace(time);
  const life = new Life("world");
  const hostOf = (name: string) =>
    simHost(new Life(name), { time, trace, random: fork(seed, name), onDefect: (message) => trace.note(message) });
  const chance = fork(seed, "faults");
  const store = openMemoryStore(hostOf("store"));
  const boot = (name: string, own: Store) =>
    time.runThrough(
      name,
      DAY_MS,
      createControlApi(hostOf(name), {
        store: own,
        releaseChecks: [],
        exposed: false,
        probeRules: OWN_HOST_RULES,
        startMs: 10_000,
        notReady: () => [],
      }),
    );
  const writer = await boot("writer", store);
  const plights = [new Plight(), new Plight()];
  const members = [];
  for (const [index, plight] of plights.entries()) members.push(await boot(`member${index}`, deafened(store, plight)));
  const token = writer.access.internalToken({ name: "world", policies: ["operator"] });
  const source = new Client(hostOf("source"), { transport: injectTransport(writer.app), token });
  const issued = writer.firstToken?.token;

  const host = hostOf("client");
  const ways = members.map(({ app }, index) => ({
    name: `member${index}`,
    transport: mutation.way(hanging(injectTransport(app), plights[index] as Plight)),
  }));
  const client = new Client(host, { transport: new FailoverTransport(host.clock, ways), token: issued });
  const pending = new Map<number, number>();
  const stop = new AbortController();
  let longestGapMs = 0;
  let faults = 0;
  void (async () => {
    for await (const { revision, event } of client.registry.watch({ namespace: "default" }, { signal: stop.signal })) {
      if (event === "reset" || event === "snapshot") continue;
      for (const [written, atMs] of pending) {
        if (written > revision) continue;
        longestGapMs = Math.max(longestGapMs, time.nowMs - atMs);
        pending.delete(written);
      }
      trace.note(`client has ${revision}`);
    }
  })();
  void (async () => {
    for (let port = 1; time.nowMs < DAY_MS; port++) {
      const atMs = time.nowMs;
      const name = { namespace: "default", service: "news", id: "n" };
      pending.set((await source.registry.register(name, { address: "127.0.0.1", port })).revision, atMs);
      await time.sleep(life, WRITE_MS);
    }
  })();
  void (async () => {
    await time.sleep(life, 5_000);
    while (time.nowMs < DAY_MS - 25_000) {
      const plight = plights[chance.float() < 0.5 ? 0 : 1] as Plight;
      plight.fault = chance.float() < 0.5 ? "hung" : "deaf";
      trace.note(`member${plights.indexOf(plight)} is ${plight.fault}`);
      faults++;
      await time.sleep(life, FAULT_MS.least + chance.float() * FAULT_MS.more);
      plight.end();
      // The other one may fail as soon as clients know again that this one is well.
      await time.sleep(life, 4_000 + chance.float() * 4_000);
    }
  })();
  await time.runUntil(DAY_MS);
  for (const atMs of pending.values()) longestGapMs = Math.max(longestGapMs, time.nowMs - atMs);
  stop.abort(new Error("the day is over"));
  return { longestGapMs, faults, trace: trace.hash() };
}

/** A store that says nothing, and answers nothing, while the plight is "deaf". */
function deafened(store: Store, plight: Plight): Store {
  const hear = <Result>(call: () => Promise<Result>): Promise<Result> => plight.while("deaf").then(call);
  return replaced(store, {
    range: (request) => hear(() => store.range(request)),
    txn: (request) => hear(() => store.txn(request)),
    keepAlive: (lease) => hear(() => store.keepAlive(lease)),
    async *watch(request) {
      for await (const batch of store.watch(request)) {
        await plight.while("deaf");
        yield batch;
      }
    },
  });
}

/** A member that accepts calls and answers nothing while the plight is "hung"; its streams pause. */
function hanging(transport: Transport, plight: Plight): Transport {
  return {
    async request(request) {
      const aborted = new Promise<never>((_resolve, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason as Error), { once: true }),
      );
      aborted.catch(() => {});
      await Promise.race([plight.while("hung"), aborted]);
      const answer = await transport.request(request);
      await Promise.race([plight.while("hung"), aborted]);
      return {
        ...answer,
        async *stream() {
          for await (const chunk of answer.stream()) {
            await Promise.race([plight.while("hung"), aborted]);
            yield chunk;
          }
        },
      };
    },
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

/** Each breaks one part of the judgement. */
export const MEMBER_MUTATIONS: readonly MemberMutation[] = [
  {
    when: "every probe of a member succeeds, whatever the member does",
    way: (transport) => ({
      request: (request) =>
        request.isProbe
          ? Promise.resolve({
              status: 200,
              header: () => "0",
              headers: () => ({}),
              text: async () => "",
              stream: () => never<never>() as never,
            })
          : transport.request(request),
      [Symbol.asyncDispose]: async () => {},
    }),
  },
  {
    when: "no member says how old its data is",
    way: (transport) => ({
      async request(request) {
        const answer = await transport.request(request);
        return {
          ...answer,
          header: (name) => (name.includes("age") ? undefined : answer.header(name)),
          async *stream() {
            for await (const chunk of answer.stream())
              yield Buffer.from(
                Buffer.from(chunk)
                  .toString("latin1")
                  .replaceAll(/^age: \d+\n/gm, ""),
                "latin1",
              );
          },
        };
      },
      [Symbol.asyncDispose]: async () => {},
    }),
  },
];
