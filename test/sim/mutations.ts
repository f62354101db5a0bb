/**
 * Ways to break a world on purpose, one part at a time, by wrapping it: what the checkers must notice. Production code knows
 * nothing of this.
 */
import type { Host, Random } from "#base";
import type { Client } from "#client";
import type { Frame } from "#http/frames";
import type { Registration } from "#registry/api";
import { LEASE_TTL_SECONDS_MAX, type Store } from "#store";

export interface Mutation {
  /** The store that all members share. */
  readonly engine: (store: Store) => Store;
  /** One member's store, from its start to its end. */
  readonly member: (store: Store, random: Random) => Store;
  readonly agentClient: (client: Client, host: Host) => Client;
  readonly followerClient: (client: Client) => Client;
  /** Files are replaced in two steps. */
  readonly tornFiles: boolean;
}

const same = <T>(part: T): T => part;

export const NO_MUTATION: Mutation = {
  engine: same,
  member: same,
  agentClient: same,
  followerClient: same,
  tornFiles: false,
};

/** How often a broken part does the wrong thing. */
const OFTEN = 0.1;
/** Every so many-th frame. */
const NOW_AND_THEN = 7;

/** The part, with some of its members replaced. */
export function replaced<T extends object>(part: T, members: Partial<T>): T {
  return new Proxy(part, {
    get(target, name) {
      const value: unknown = Reflect.get(name in members ? members : target, name);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

const isRegistry = (request: object) => "prefix" in request && request.prefix === "/registry/";

/** Each with the invariant that it breaks. */
export const MUTATIONS: readonly (Partial<Mutation> & { readonly when: string; readonly breaks: string })[] = [
  {
    when: "a member's watch of the store loses an event",
    breaks: "a reader's catalog equals the store's at the reader's revision, never half of one",
    member: (store, random) =>
      replaced(store, {
        async *watch(request) {
          for await (const batch of store.watch(request)) {
            const lost = isRegistry(request) && batch.events.length > 0 && random.float() < OFTEN;
            yield lost ? { ...batch, events: [] } : batch;
          }
        },
      }),
  },
  {
    when: "a member says that a registration is written, and it is not",
    breaks: "an acknowledged write is there, and a question as of its revision sees it",
    member: (store, random) =>
      replaced(store, {
        async txn(request) {
          const registers = request.then?.some((op) => op.type === "put" && op.key.startsWith("/registry/instances/"));
          if (!registers || random.float() >= OFTEN) return store.txn(request);
          const { revision } = await store.status();
          return { succeeded: true, revision, results: [] };
        },
      }),
  },
  {
    when: "a member that starts serves before it has read the catalog",
    breaks: "a reader's catalog equals the store's at the reader's revision, never half of one",
    member: (store) => {
      let first = true;
      return replaced(store, {
        async range(request) {
          const answer = await store.range(request);
          if (!first || !isRegistry(request)) return answer;
          first = false;
          return { ...answer, entries: [], more: false, count: 0 };
        },
      });
    },
  },
  {
    when: "a lease lapses early",
    breaks: "a lease lapses in its time: never before it, and not long after",
    engine: (store) =>
      replaced(store, {
        grant: async (ttlSeconds) => ({ ...(await store.grant(Math.ceil(ttlSeconds / 2))), ttlSeconds }),
      }),
  },
  {
    when: "a lease does not lapse",
    breaks: "a lease lapses in its time: never before it, and not long after",
    engine: (store) =>
      replaced(store, {
        grant: async (ttlSeconds) => ({
          ...(await store.grant(Math.min(ttlSeconds * 1000, LEASE_TTL_SECONDS_MAX))),
          ttlSeconds,
        }),
      }),
  },
  {
    when: "an agent registers again what it has deregistered",
    breaks: "a deregistered instance stays away until it is registered again",
    agentClient: (client, host) => {
      const said = new Map<string, Registration>();
      const keyOf = ({ service, id }: { service: string; id: string }) => `${service}/${id}`;
      const registry = replaced(client.registry, {
        register: (name, body, options) => {
          said.set(keyOf(name), body);
          return client.registry.register(name, body, options);
        },
        deregister: async (name, options) => {
          const answer = await client.registry.deregister(name, options);
          const body = said.get(keyOf(name));
          const again = { ...body, incarnation: host.clock.now() } as Registration;
          if (body) host.clock.after(500, () => void client.registry.register(name, again).catch(() => {}));
          return answer;
        },
      });
      return replaced(client, { registry });
    },
  },
  {
    when: "a stream of the catalog skips a change",
    breaks: "a reader's catalog equals the store's at the reader's revision, never half of one",
    ...followers((client) => ({
      registry: replaced(client.registry, {
        watch: (query, options) => skipping(client.registry.watch(query, options)),
      }),
    })),
  },
  {
    when: "a stream of the catalog has two changes in the wrong order",
    breaks: "revisions never go back in a stream, but after a reset",
    ...followers((client) => ({
      registry: replaced(client.registry, {
        watch: (query, options) => swapping(client.registry.watch(query, options)),
      }),
    })),
  },
  {
    when: "a stream of a config skips a release",
    breaks: "once all is calm, every reader has the data of the store",
    ...followers((client) => ({
      config: replaced(client.config, { watch: (name, options) => skipping(client.config.watch(name, options)) }),
    })),
  },
  {
    when: "a reader receives a config with a value of the previous release",
    breaks: "a reader of a config sees whole releases, never an older one after a newer",
    ...followers((client) => ({
      config: replaced(client.config, { watch: (name, options) => mixing(client.config.watch(name, options)) }),
    })),
  },
  {
    when: "a file is replaced in two steps",
    breaks: "a file holds one whole release at any moment",
    tornFiles: true,
  },
];

function followers(change: (client: Client) => Partial<Client>): Partial<Mutation> {
  return { followerClient: (client) => replaced(client, change(client)) };
}

async function* skipping<Data>(frames: AsyncIterable<Frame<Data>>): AsyncGenerator<Frame<Data>> {
  let deltas = 0;
  for await (const frame of frames) if (frame.event !== "delta" || ++deltas % NOW_AND_THEN !== 1) yield frame;
}

async function* swapping<Data>(frames: AsyncIterable<Frame<Data>>): AsyncGenerator<Frame<Data>> {
  let held: Frame<Data> | undefined;
  let deltas = 0;
  for await (const frame of frames) {
    if (frame.event === "delta" && !held && ++deltas % NOW_AND_THEN === 1) {
      held = frame;
      continue;
    }
    yield frame;
    if (held) yield held;
    held = undefined;
  }
}

async function* mixing<Data>(frames: AsyncIterable<Frame<Data>>): AsyncGenerator<Frame<Data>> {
  let before: Record<string, unknown> = {};
  for await (const frame of frames) {
    const { items } = (frame.data ?? {}) as { items?: Record<string, unknown> };
    if (!items) {
      yield frame;
      continue;
    }
    const [key = ""] = Object.keys(items);
    const mixed = { ...items, [key]: before[key] ?? items[key] };
    before = items;
    yield { ...frame, data: { ...frame.data, items: mixed } as Data };
  }
}
