/**
 * The true state at each revision: the catalog and the configs, derived from all writes of the store, without faults.
 * Every answer "as of revision R" must equal it.
 */
import { canonicalJson, decodeJson } from "#base";
import type { Release } from "#config-server/api";
import type { Revision } from "#store";
import { parseRegistryKey } from "../../registry/core/keys.ts";
import { Catalog } from "../../registry/core/catalog.ts";
import type { History } from "./history.ts";

const RELEASES = "/config/releases/";
const LIVE = "/config/live/";

/** Something's value since a revision. */
interface Since<T> {
  readonly revision: Revision;
  readonly value: T;
}

export class Truth {
  readonly last: Revision;
  readonly #services = new Map<string, Since<string>[]>();
  readonly #sets = new Map<string, Since<Release>[]>();
  readonly #deltas = new Map<Revision, number>();

  constructor(history: History) {
    const catalog = new Catalog();
    const releases = new Map<string, Release>();
    for (const { revision, events } of history.revisions) {
      const deltas = catalog.apply(
        events.filter((event) => keyOf(event).startsWith("/registry/")),
        revision,
      );
      this.#deltas.set(revision, deltas.length);
      for (const { namespace, service } of deltas) {
        append(this.#services, service, { revision, value: textOf(catalog.instances(namespace, service)) });
      }
      for (const event of events) {
        if (event.type !== "put") continue;
        const { key, value } = event.entry;
        if (key.startsWith(RELEASES)) releases.set(key, decodeJson<Release>(value));
        if (!key.startsWith(LIVE)) continue;
        const set = key.slice(LIVE.length);
        const { version } = decodeJson<{ version: number }>(value);
        const release = releases.get(`${RELEASES}${set}/${String(version).padStart(12, "0")}`);
        if (release) append(this.#sets, set, { revision, value: release });
      }
    }
    this.last = history.revisions.at(-1)?.revision ?? 0;
  }

  /** The instances of a service as canonical JSON. */
  instances(service: string, at: Revision): string {
    return this.#services.get(service)?.findLast(({ revision }) => revision <= at)?.value ?? "[]";
  }

  /** How many services a revision changed. */
  changed(revision: Revision): number {
    return this.#deltas.get(revision) ?? 0;
  }

  /** The live release of a set. */
  release(set: string, at: Revision): Release | undefined {
    return this.#sets.get(set)?.findLast(({ revision }) => revision <= at)?.value;
  }

  releases(set: string): readonly Since<Release>[] {
    return this.#sets.get(set) ?? [];
  }

  sets(): string[] {
    return [...this.#sets.keys()];
  }
}

/** Instances in order of id, as text to compare. */
export function textOf(instances: readonly unknown[]): string {
  return canonicalJson(instances);
}

/** The instance that a key registers, as `service/id`. */
export function instanceOf(key: string): string | undefined {
  const parsed = parseRegistryKey(key);
  return parsed?.kind === "instance" ? `${parsed.name.service}/${parsed.name.id}` : undefined;
}

function keyOf(event: History["revisions"][number]["events"][number]): string {
  return event.type === "put" ? event.entry.key : event.key;
}

function append<T>(map: Map<string, Since<T>[]>, key: string, since: Since<T>): void {
  const known = map.get(key);
  if (known) known.push(since);
  else map.set(key, [since]);
}
