/**
 * Notes when members and gateways join and leave. Their keys end with leases, so no command of theirs could note it: one
 * member compares the present ones with the ones noted last, and writes the difference in one transaction.
 */
import { AppError, decodeJson, encodeJson, type Host, messageOf, own, setOwn } from "#base";
import type { ChangeEntry, ChangeLog, StoredChange } from "#changes";
import { commit, type Store } from "#store";
import type { ChangeKind } from "./api.ts";

const PRESENT_KEY = "/changes/present";
/** Milliseconds between two comparisons. */
const LOOK_MS = 3_000;
/** Milliseconds that something must be missing before it has left: a gateway reconnects to another member within this time. */
const ABSENT_MS = 15_000;
/** Changes noted at a time. The rest follows with the next comparison. */
const NOTED_MAX = 20;

export interface PresenceSources {
  readonly self: string;
  readonly members: () => readonly string[];
  /** Gateways that follow their config, by namespace. */
  readonly gateways: () => readonly { readonly namespace: string; readonly name: string }[];
  /** Whether this member does what one member must do. */
  readonly leads: () => boolean;
}

/** The members and gateways noted last: when each joined, by type and name. */
type Noted = Readonly<Record<string, string>>;

export class Presence {
  readonly #host: Host;
  readonly #store: Store;
  readonly #log: ChangeLog;
  readonly #sources: PresenceSources;
  /** Monotonic times at which noted ones were first missing. */
  readonly #missing = new Map<string, number>();

  constructor(host: Host, store: Store, log: ChangeLog, sources: PresenceSources) {
    this.#host = host;
    this.#store = store;
    this.#log = log;
    this.#sources = sources;
  }

  /** Compares until the signal aborts, and notes then that this member has stopped. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#host.clock.sleep(LOOK_MS, signal).catch(() => {});
      if (signal.aborted) break;
      if (this.#sources.leads()) await this.#note((noted) => this.#differences(noted));
    }
    const self = `member//${this.#sources.self}`;
    await this.#note((noted) =>
      own(noted, self) === undefined ? [] : [{ key: self, kind: "member-left", to: "stopped" }],
    );
  }

  async #note(differences: (noted: Noted) => readonly Difference[]): Promise<void> {
    try {
      await this.#log.use((entry) =>
        commit(this.#store, [{ key: PRESENT_KEY }], (known) => {
          const present = known.get(PRESENT_KEY);
          const noted = present ? decodeJson<Noted>(present.value) : {};
          const found = differences(noted).slice(0, NOTED_MAX);
          if (found.length === 0) return { result: undefined };
          return { writes: this.#writes(noted, found, entry), result: undefined };
        }),
      );
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#host.log.debug({ code: error.code }, `presence not noted yet: ${messageOf(error)}`);
    }
  }

  #writes(noted: Noted, found: readonly Difference[], entry: ChangeEntry) {
    const nowMs = this.#host.clock.now();
    const next: Record<string, string> = { ...noted };
    const puts = found.map(({ key, kind, to }, index) => {
      const at = new Date(nowMs).toISOString();
      if (kind.endsWith("-joined")) setOwn(next, key, at);
      else delete next[key];
      return entry(changeOf({ key, kind, to }, at), index);
    });
    return [{ type: "put" as const, key: PRESENT_KEY, value: encodeJson(next) }, ...puts];
  }

  #differences(noted: Noted): Difference[] {
    const { members, gateways } = this.#sources;
    const nowMs = this.#host.clock.monotonic();
    const present = new Set([
      ...members().map((id) => `member//${id}`),
      ...gateways().map(({ namespace, name }) => `gateway/${namespace}/${name}`),
    ]);
    const joined = [...present.keys()]
      .filter((key) => !Object.hasOwn(noted, key))
      .map((key): Difference => ({ key, kind: key.startsWith("member/") ? "member-joined" : "gateway-joined" }));
    for (const key of this.#missing.keys())
      if (present.has(key) || !Object.hasOwn(noted, key)) this.#missing.delete(key);
    const left = Object.keys(noted).flatMap((key): Difference[] => {
      if (present.has(key)) return [];
      const sinceMs = this.#missing.get(key) ?? nowMs;
      this.#missing.set(key, sinceMs);
      if (nowMs - sinceMs < ABSENT_MS) return [];
      return [{ key, kind: key.startsWith("member/") ? "member-left" : "gateway-left", to: "is not reachable" }];
    });
    return [...joined, ...left];
  }
}

interface Difference {
  readonly key: string;
  readonly kind: ChangeKind;
  readonly to?: string | undefined;
}

function changeOf({ key, kind, to }: Difference, at: string): StoredChange {
  const [type = "", namespace = "", ...name] = key.split("/");
  return {
    at,
    kind,
    subject: {
      type: type === "member" ? "member" : "gateway",
      ...(namespace === "" ? {} : { namespace }),
      name: name.join("/"),
    },
    ...(to === undefined ? {} : { to }),
  };
}
