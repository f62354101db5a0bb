/**
 * Random commands against the memory engine and another one: the same answers, the same events. The memory engine is
 * short enough to be believed; etcd is what both are modelled on.
 */
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openMemoryStore, openStore, type Compare, type Op, type Revision, type Store, type WatchBatch } from "#store";
import { ManualClock, tempFolder, testHost, withEtcd, hangSignal } from "#test/kit";

/** Revisions and leases are relative, so that a command means the same on a store that does not begin at nothing. */
type Command =
  | { readonly do: "txn"; readonly when: Compare[]; readonly then: ModelOp[]; readonly otherwise: ModelOp[] }
  | { readonly do: "range"; readonly op: Extract<Op, { type: "range" }>; readonly back: number | undefined }
  | { readonly do: "grant" }
  | { readonly do: "revoke" | "keepAlive"; readonly lease: number }
  | { readonly do: "compact"; readonly back: number }
  | { readonly do: "watch"; readonly back: number; readonly prefix: string }
  | { readonly do: "reopen" };
type ModelOp = Exclude<Op, { type: "put" }> | { type: "put"; key: string; value: string; lease: number | undefined };

const key = fc.constantFrom("a", "a/1", "a/2", "ab", "b", "b/1");
const prefix = fc.constantFrom("", "a", "a/", "b", "c");
const lease = fc.nat({ max: 3 });
const back = fc.nat({ max: 6 });
const selector = fc.oneof(fc.record({ key }), fc.record({ prefix }));
const get = fc
  .tuple(selector, fc.option(fc.nat({ max: 3 }), { nil: undefined }), fc.option(key, { nil: undefined }), fc.boolean())
  .map(([selects, limit, after, keysOnly]): Extract<Op, { type: "range" }> => ({
    type: "range",
    ...selects,
    ...(limit === undefined ? {} : { limit }),
    ...(after === undefined || "key" in selects ? {} : { after }),
    keysOnly,
  }));
const op: fc.Arbitrary<ModelOp> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("put"),
      key,
      value: fc.string({ maxLength: 4 }),
      lease: fc.option(lease, { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 2, arbitrary: selector.map((selects): ModelOp => ({ type: "delete", ...selects })) },
  { weight: 1, arbitrary: get },
);
const compare: fc.Arbitrary<Compare> = fc.record({
  key,
  target: fc.constantFrom("version", "version", "createRevision", "modRevision"),
  is: fc.constantFrom("equal", "notEqual", "less", "greater"),
  value: fc.nat({ max: 12 }),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("txn"),
      when: fc.array(compare, { maxLength: 2 }),
      then: fc.array(op, { maxLength: 4 }),
      otherwise: fc.array(op, { maxLength: 2 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("range"), op: get, back: fc.option(back, { nil: undefined }) }) },
  { weight: 2, arbitrary: fc.constant({ do: "grant" }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("revoke", "keepAlive"), lease }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact"), back }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("watch"), back, prefix }) },
  { weight: 1, arbitrary: fc.constant({ do: "reopen" }) },
);

/** One store, and what is needed to run commands on it and to compare its answers. */
class Subject {
  store: Store;
  readonly #reopen: (() => Promise<Store>) | undefined;
  readonly #leases: string[] = [];
  #base: Revision = 0;

  constructor(store: Store, reopen?: () => Promise<Store>) {
    this.store = store;
    this.#reopen = reopen;
  }

  async begin(): Promise<void> {
    this.#base = (await this.store.status()).revision;
  }

  /** The store's answer, with revisions counted from its beginning and leases by the order of their grants. */
  async run(asked: Command): Promise<unknown> {
    try {
      return this.#plain(await this.#ask(asked));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === undefined) throw error;
      return { code };
    }
  }

  async #ask(asked: Command): Promise<unknown> {
    const { revision } = await this.store.status();
    const ago = (steps: number): Revision => Math.max(this.#base + 1, revision + 1 - steps);
    switch (asked.do) {
      case "txn":
        return this.store.txn({
          when: asked.when.map((compare) => ({ ...compare, value: this.#absolute(compare) })),
          then: asked.then.map((item) => this.#op(item)),
          otherwise: asked.otherwise.map((item) => this.#op(item)),
        });
      case "range":
        return this.store.range({ ...asked.op, ...(asked.back === undefined ? {} : { revision: ago(asked.back) }) });
      case "grant": {
        const { id } = await this.store.grant(1000);
        this.#leases.push(id);
        return "granted";
      }
      case "revoke":
        return this.store.revoke(this.#lease(asked.lease));
      case "keepAlive":
        return this.store.keepAlive(this.#lease(asked.lease));
      case "compact":
        return this.store.compact(ago(asked.back));
      case "watch":
        return this.watched(Math.max(this.#base, revision - asked.back), asked.prefix);
      case "reopen":
        if (this.#reopen) {
          await this.store[Symbol.asyncDispose]();
          this.store = await this.#reopen();
        }
        return "open";
      default:
        return undefined;
    }
  }

  /** Everything after a revision, up to the present. */
  async watched(after: Revision, prefix: string): Promise<WatchBatch[]> {
    // A mark at the end, so that the watch knows when it has seen all.
    const mark = await this.store.txn({ then: [{ type: "put", key: "~mark", value: new Uint8Array() }] });
    const batches: WatchBatch[] = [];
    for await (const batch of this.store.watch({ prefix, after, signal: hangSignal() })) {
      if (batch.events.length > 0) batches.push(batch);
      if (batch.revision >= mark.revision) return batches;
    }
    throw new Error("the watch ended");
  }

  get base(): Revision {
    return this.#base;
  }

  #absolute({ target, value }: Compare): number {
    return target === "version" || value === 0 ? value : value + this.#base;
  }

  #lease(index: number): string {
    return this.#leases[index] ?? "unknown";
  }

  #op(item: ModelOp): Op {
    if (item.type !== "put") return item;
    return {
      type: "put",
      key: item.key,
      value: new TextEncoder().encode(item.value),
      ...(item.lease === undefined ? {} : { lease: this.#lease(item.lease) }),
    };
  }

  #plain(answer: unknown): unknown {
    return JSON.parse(
      JSON.stringify(answer ?? "done", (name, inner: unknown) => {
        if (/[rR]evision$/.test(name) && typeof inner === "number") return inner - this.#base;
        if (name === "lease" && typeof inner === "string") return this.#leases.indexOf(inner);
        if (name === "value" && inner !== null && typeof inner === "object") {
          const bytes = "data" in inner ? (inner.data as number[]) : Object.values(inner as Record<string, number>);
          return Buffer.from(bytes).toString();
        }
        return inner;
      }),
    );
  }
}

async function agree(commands: readonly Command[], other: Subject): Promise<void> {
  const model = new Subject(openMemoryStore(testHost({ clock: new ManualClock() })));
  try {
    await model.begin();
    await other.begin();
    for (const [index, asked] of commands.entries()) {
      const [expected, actual] = [await model.run(asked), await other.run(asked)];
      expect(actual, `command ${index}: ${JSON.stringify(asked)}`).toEqual(expected);
    }
    const all: Command = { do: "watch", back: 0, prefix: "" };
    expect(await other.run(all)).toEqual(await model.run(all));
    const listing: Command = { do: "range", op: { type: "range", prefix: "" }, back: undefined };
    expect(await other.run(listing)).toEqual(await model.run(listing));
  } finally {
    await model.store[Symbol.asyncDispose]();
    await other.store[Symbol.asyncDispose]();
  }
}

describe("the engines answer as the model does", () => {
  test("LMDB, reopened at random", async () => {
    await using folder = await tempFolder();
    let runs = 0;
    let seed = 1;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async (commands) => {
        const path = join(folder.path, String(runs++));
        const open = (): Promise<Store> =>
          openStore(testHost({ clock: new ManualClock(), seed: seed++ }), { engine: "lmdb", folder: path });
        await agree(commands, new Subject(await open(), open));
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  test("etcd", async () => {
    await using etcd = await withEtcd();
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 30 }), async (commands) => {
        const namespace = `model-${runs++}/`;
        await agree(
          commands,
          new Subject(await openStore(testHost(), { engine: "etcd", endpoints: [etcd.endpoint], namespace })),
        );
      }),
      { numRuns: 12 },
    );
  }, 60_000);
});
