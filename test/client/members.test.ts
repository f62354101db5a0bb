/** How a client judges members, as facts and the time say; and that calls follow the judgement. */
import { setTimeout as sleep } from "node:timers/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fetchTransport } from "#client";
import { encodeFrame } from "#http/frames";
import { eventually, hangSignal } from "#test/kit";
import { HEARTBEAT_MS } from "../../kernel/http/watch/heartbeats.ts";
import {
  DATA_AGE_MS_MAX,
  hasBetter,
  isProbeDue,
  judge,
  order,
  PROBE_EVERY_MS,
  PROBE_MS,
  QUIET_MS,
  UNKNOWN_MEMBER,
  type MemberFact,
  type MemberRecord,
} from "../../client/core/members.ts";

const facts: fc.Arbitrary<MemberFact> = fc.oneof(
  fc.constant({ type: "heard" } as const),
  fc.constant({ type: "unanswered" } as const),
  fc.record({
    type: fc.constant("age" as const),
    ageMs: fc.option(fc.integer({ min: 0, max: 2 * DATA_AGE_MS_MAX }), { nil: undefined }),
  }),
);
const members = fc.array(
  fc.array(facts).map((all) => all.reduce((record, fact, at) => judge(record, fact, at), UNKNOWN_MEMBER)),
  { minLength: 1, maxLength: 5 },
);

describe("judging", () => {
  test("only what a member says of its data, or a refusal, changes its standing", () => {
    fc.assert(
      fc.property(fc.array(facts), facts, (before, fact) => {
        const record = before.reduce((known, one) => judge(known, one, 0), UNKNOWN_MEMBER);
        const { standing } = judge(record, fact, 1);
        if (fact.type === "heard") expect(standing).toBe(record.standing);
        else if (fact.type === "unanswered") expect(standing).toBe("silent");
        else expect(standing).toBe((fact.ageMs ?? 0) > DATA_AGE_MS_MAX ? "stale" : "good");
      }),
    );
  });

  test("each member is tried once, no worse one before a better, and the preferred first among equals", () => {
    fc.assert(
      fc.property(members, fc.nat(), (records, any) => {
        const preferred = any % records.length;
        const tried = order(records, preferred);
        expect(tried.toSorted((a, b) => a - b)).toEqual(records.map((_, index) => index));
        const rank = ({ standing }: MemberRecord) => ["good", "stale", "silent"].indexOf(standing);
        const ranks = tried.map((index) => rank(records[index] as MemberRecord));
        expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
        expect(hasBetter(records, tried[0] as number)).toBe(false);
        if (rank(records[preferred] as MemberRecord) === ranks[0]) expect(tried[0]).toBe(preferred);
      }),
    );
  });

  test("a member that owes nothing is not probed; a quiet one that owes, and every suspect, is probed now and then", () => {
    const heard = judge(UNKNOWN_MEMBER, { type: "heard" }, 1_000);
    expect(isProbeDue(heard, undefined, 1e9)).toBe(false);
    expect(isProbeDue(heard, 0, 1_000 + QUIET_MS - 1)).toBe(false);
    expect(isProbeDue(heard, 0, 1_000 + QUIET_MS)).toBe(true);
    expect(isProbeDue(heard, 5_000, 5_000 + QUIET_MS - 1)).toBe(false);
    const suspect = { ...judge(heard, { type: "unanswered" }, 1_000), probedMs: 1_000 };
    expect(isProbeDue(suspect, undefined, 1_000 + PROBE_EVERY_MS - 1)).toBe(false);
    expect(isProbeDue(suspect, undefined, 1_000 + PROBE_EVERY_MS)).toBe(true);
  });

  test("members are judged by the times that the discovery guide gives", () => {
    // Silence for three seconds: two without a byte from a member that owes one, and a probe of one second.
    const watched = judge(UNKNOWN_MEMBER, { type: "heard" }, 0);
    expect([isProbeDue(watched, 0, 1_999), isProbeDue(watched, 0, 2_000)]).toEqual([false, true]);
    expect(PROBE_MS).toBe(1_000);
    // A member that is well has sent a heartbeat by then, so it is not probed.
    expect(HEARTBEAT_MS).toBeLessThan(QUIET_MS);
    const suspect = { ...judge(watched, { type: "unanswered" }, 0), probedMs: 0 };
    expect([isProbeDue(suspect, undefined, 1_999), isProbeDue(suspect, undefined, 2_000)]).toEqual([false, true]);
    const aged = (ageMs: number) => judge(watched, { type: "age", ageMs }, 0).standing;
    expect([aged(3_000), aged(3_001)]).toEqual(["good", "stale"]);
  });
});

interface Fake extends AsyncDisposable {
  readonly url: string;
  readonly seen: string[];
  /** Answers nothing, not even probes, though it takes connections. */
  hangs: boolean;
  /** Answers all but this path. */
  deafTo: string | undefined;
  ageMs: number;
}

async function fakeMember(): Promise<Fake> {
  const open = new Set<ServerResponse>();
  const server: Server = createServer((request, response) => {
    const path = request.url ?? "";
    if (path !== "/livez") fake.seen.push(`${request.method} ${path}`);
    if (fake.hangs || path === fake.deafTo) return;
    response.setHeader("x-posthouse-data-age-ms", fake.ageMs);
    if (request.headers.accept !== "text/event-stream") {
      response.end("{}");
      return;
    }
    open.add(response);
    response.once("close", () => open.delete(response));
    response.flushHeaders();
  });
  const beat = setInterval(() => {
    if (fake.hangs) return;
    for (const response of open) response.write(encodeFrame({ event: "heartbeat", revision: 1, ageMs: fake.ageMs }));
  }, 200);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: Fake = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    hangs: false,
    deafTo: undefined,
    ageMs: 0,
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

describe("over sockets", () => {
  const signal = () => hangSignal();
  const setUp = async () => {
    const stack = new AsyncDisposableStack();
    const first = stack.use(await fakeMember());
    const second = stack.use(await fakeMember());
    const transport = stack.use(fetchTransport({ urls: [first.url, second.url] }));
    return { first, second, transport, stack };
  };

  test("a repeatable call moves away from a member that hangs; any other call stays where it was sent", async () => {
    const { first, second, transport, stack } = await setUp();
    await using _ = stack;
    first.hangs = true;
    const write = new AbortController();
    const written = transport.request({ method: "POST", path: "/write", signal: write.signal }).catch(() => "given up");
    const beat = transport.request({ method: "PUT", path: "/beat", repeatable: true, signal: signal() });
    const read = transport.request({ method: "GET", path: "/read", signal: signal() });
    for (const answer of await Promise.all([beat, read])) expect(answer.status).toBe(200);
    expect(second.seen.toSorted()).toEqual(["GET /read", "PUT /beat"]);
    // The next one goes there at once.
    expect((await transport.request({ method: "POST", path: "/next", signal: signal() })).status).toBe(200);
    expect(second.seen).toContain("POST /next");
    write.abort(new Error("enough"));
    expect(await written).toBe("given up");
    expect(second.seen).not.toContain("POST /write");
  });

  test("a call that takes long at a member that is well is waited for", async () => {
    const { first, second, transport, stack } = await setUp();
    await using _ = stack;
    first.deafTo = "/long";
    const long = new AbortController();
    const asked = transport.request({ method: "GET", path: "/long", signal: long.signal }).catch(() => "given up");
    await sleep(2 * QUIET_MS);
    expect(second.seen).toEqual([]);
    long.abort(new Error("enough"));
    expect(await asked).toBe("given up");
  });

  test("a watch leaves a member whose data is old for one whose data is not, and stays where none is better", async () => {
    const { first, second, transport, stack } = await setUp();
    await using _ = stack;
    const watch = () =>
      transport.request({ method: "GET", path: "/watch", headers: { accept: "text/event-stream" }, signal: signal() });
    const reading = (async () => {
      for await (const chunk of (await watch()).stream()) if (first.seen.length === 0) return chunk;
      return "ended";
    })();
    await eventually("it watches the first", () => first.seen.length === 1);
    first.ageMs = 2 * DATA_AGE_MS_MAX;
    await expect(reading).rejects.toMatchObject({ code: "CLIENT_UNREACHABLE" });
    const again = (await watch()).stream()[Symbol.asyncIterator]();
    expect(second.seen).toEqual(["GET /watch"]);
    second.ageMs = 2 * DATA_AGE_MS_MAX;
    for (let beats = 0; beats < 10; beats++) expect((await again.next()).done).toBe(false);
    await again.return?.();
    // A suspect that is well again is asked again.
    first.ageMs = 0;
    await eventually("the first is good again", async () => {
      await (await transport.request({ method: "GET", path: "/call", signal: signal() })).text();
      return first.seen.includes("GET /call");
    });
  });
});
