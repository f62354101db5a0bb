/** The targets of `posthouse bench`. Each target makes what it needs, and removes it when it is disposed of. */
import type { ControlCalls } from "#client/light";

export interface BenchInputs {
  readonly client: ControlCalls;
  /** A namespace of its own. */
  readonly namespace: string;
  readonly url: string;
}
export interface BenchRun extends AsyncDisposable {
  /** One call of each operation; `turn` counts up. */
  readonly operations: Readonly<Record<string, (turn: number) => Promise<unknown>>>;
}
export type BenchTarget = (inputs: BenchInputs) => Promise<BenchRun>;

/** Instances and keys that writes go to in turn: a bound on what is left behind if the program is killed. */
const OBJECTS = 32;

const registry: BenchTarget = async ({ client, namespace }) => {
  // They belong to a session, so that they vanish even if this program is killed.
  const { id: session } = await client.registry.openSession(120);
  const nameOf = (turn: number) => ({ namespace, service: "bench", id: `bench-${turn % OBJECTS}` });
  return {
    operations: {
      register: (turn) =>
        client.registry.register(nameOf(turn), { address: "127.0.0.1", port: 1 + (turn % 60_000), session }),
      discover: () => client.registry.instances({ namespace, service: "bench" }),
    },
    [Symbol.asyncDispose]: async () => client.registry.closeSession(session),
  };
};

const config: BenchTarget = async ({ client, namespace }) => {
  const set = { namespace, app: "bench", profile: "default" };
  const text = (turn: number) => Buffer.from(`turn: ${turn}\n`);
  await client.config.putKey(set, "bench.yaml", text(0), { reason: "posthouse bench" });
  return {
    operations: {
      read: () => client.config.effective(set),
      // Releases of one set exclude each other, so each writer has a set of its own.
      release: (turn) => client.config.putKey({ ...set, app: `bench-${turn % OBJECTS}` }, "bench.yaml", text(turn)),
    },
    // A history cannot be deleted. Without keys, the sets have no content.
    async [Symbol.asyncDispose]() {
      const { sets } = await client.config.sets(namespace);
      for (const one of sets) await client.config.publish(one, { items: {}, reason: "posthouse bench has ended" });
    },
  };
};

const gateway: BenchTarget = async ({ url }) => {
  const { Agent, request } = await import("undici");
  const agent = new Agent({ connections: 64 });
  return {
    operations: {
      request: async () => {
        const { statusCode, body } = await request(url, { dispatcher: agent });
        await body.dump();
        if (statusCode >= 500) throw new Error(`status ${statusCode}`);
      },
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
};

export const BENCH_TARGETS: Readonly<Record<string, BenchTarget>> = { registry, config, gateway };
