/**
 * The invariants, each a pure question to a world's history; the answers are the violations, in words. See
 * docs/invariants.md.
 */
import { decodeJson } from "#base";
import type { EffectiveConfig } from "#config-server/api";
import type { Instance, ServiceDelta } from "#registry/api";
import type { History, ReaderHistory } from "./history.ts";
import { instanceOf, textOf, Truth } from "./truth.ts";
import { APP, FILE_KEY, NAMESPACE, SERVICES } from "./world.ts";

export type Checker = (history: History, truth: Truth) => string[];

/** A lapse may come this late: the engines look at deadlines by timers. Milliseconds. */
const LAPSE_LATE_MS = 1_000;

export const CHECKERS: Readonly<Record<string, Checker>> = {
  "no background loop ends by an error": (history) => history.defects,
  "revisions never go back in a stream, but after a reset": revisionsGrow,
  "a reader's catalog equals the store's at the reader's revision, never half of one": readersSeeWholeRevisions,
  "the data of gateways and DNS equals the store's at their revision": followersSeeWholeRevisions,
  "once all is calm, every reader has the data of the store": allAgree,
  "once all is calm, the catalog has exactly the instances that their owners claim": claimsAreKept,
  "a lease lapses in its time: never before it, and not long after": leasesLapseInTime,
  "an acknowledged write is there, and a question as of its revision sees it": writesAreRead,
  "a deregistered instance stays away until it is registered again": noGhosts,
  "releases are numbered without gaps": releasesAreNumbered,
  "a reader of a config sees whole releases, never an older one after a newer": configsAreWhole,
  "a file holds one whole release at any moment": filesAreWhole,
};

/** All violations, by invariant. */
export function judge(history: History): string[] {
  const truth = new Truth(history);
  return Object.entries(CHECKERS).flatMap(([invariant, check]) =>
    check(history, truth).map((violation) => `${invariant}: ${violation}`),
  );
}

function revisionsGrow(history: History): string[] {
  const found: string[] = [];
  for (const { name, told } of history.readers.values()) {
    let last = 0;
    for (const { frame, atMs } of told) {
      if (frame.event !== "reset" && frame.revision < last) {
        found.push(`${name} heard ${frame.event} ${frame.revision} after ${last} at ${atMs}`);
      }
      last = frame.revision;
    }
  }
  return found;
}

/** A reader's catalog as its frames make it. */
class Folded {
  readonly services = new Map<string, Map<string, Instance>>();
  #gathered: Map<string, Map<string, Instance>> | undefined = new Map();

  /** Whether all is known: after `synced`, and until the next reset. */
  get whole(): boolean {
    return this.#gathered === undefined;
  }

  take(frame: ReaderHistory["told"][number]["frame"]): void {
    const { event } = frame;
    if (event === "reset") this.#gathered = new Map();
    else if (event === "snapshot") merge((this.#gathered ??= new Map()), frame.data as ServiceDelta);
    else if (event === "delta") merge(this.services, frame.data as ServiceDelta);
    else if (event === "synced" && this.#gathered) {
      this.services.clear();
      for (const [service, instances] of this.#gathered) this.services.set(service, instances);
      this.#gathered = undefined;
    }
  }

  text(service: string): string {
    const instances = [...(this.services.get(service)?.values() ?? [])];
    return textOf(instances.sort((a, b) => (a.id < b.id ? -1 : 1)));
  }
}

function merge(services: Map<string, Map<string, Instance>>, { service, instances, removed }: ServiceDelta): void {
  const known = services.get(service) ?? new Map<string, Instance>();
  services.set(service, known);
  for (const id of removed) known.delete(id);
  for (const instance of instances) known.set(instance.id, instance);
}

function readersSeeWholeRevisions(history: History, truth: Truth): string[] {
  const found: string[] = [];
  for (const { name, kind, services = SERVICES, told } of history.readers.values()) {
    if (kind !== "services") continue;
    const folded = new Folded();
    for (const { frame, atMs } of told) {
      folded.take(frame);
      if (!folded.whole) continue;
      const { event, revision } = frame;
      // Several frames of one revision carry the one before it, and a heartbeat closes them.
      const between = event === "delta" && truth.changed(revision + 1) > 1;
      for (const service of services) {
        const text = folded.text(service);
        if (text === truth.instances(service, revision)) continue;
        if (between && text === truth.instances(service, revision + 1)) continue;
        found.push(
          `${name} after ${event} ${revision} at ${atMs} holds ${text} of ${service}, the store ${truth.instances(service, revision)}`,
        );
        break;
      }
      if (found.length > 0) break;
    }
  }
  return found;
}

function followersSeeWholeRevisions(history: History, truth: Truth): string[] {
  const found: string[] = [];
  /** Instances as text that each reader held of each service. */
  const before = new Map<string, Set<string>>();
  for (const { reader, revision, service, instances, cold, atMs } of history.held) {
    const text = textOf(instances);
    const known = before.get(`${reader} ${service}`) ?? new Set<string>();
    before.set(`${reader} ${service}`, known);
    const own = cold ? known : NOTHING;
    const holds = (truths: string) => text === truths || holdsBeside(instances, truths, own);
    for (const instance of instances) known.add(textOf([instance]));
    if (holds(truth.instances(service, revision))) continue;
    if (truth.changed(revision + 1) > 1 && holds(truth.instances(service, revision + 1))) continue;
    found.push(`${reader} at ${atMs} and revision ${revision} holds ${text} of ${service}`);
  }
  return found;
}

const NOTHING: ReadonlySet<string> = new Set();

/** Whether all of what is true is held, and beside it only what was known before and is not said otherwise. */
function holdsBeside(held: readonly unknown[], truths: string, known: ReadonlySet<string>): boolean {
  const said = new Map((JSON.parse(truths) as Instance[]).map((instance) => [instance.id, textOf([instance])]));
  const right = (held as Instance[]).every((instance) => {
    const text = textOf([instance]);
    const now = said.get(instance.id);
    said.delete(instance.id);
    return now === undefined ? known.has(text) : now === text;
  });
  return right && said.size === 0;
}

function allAgree(history: History, truth: Truth): string[] {
  const found: string[] = [];
  const wrong = (who: string, what: string, has: string, should: string) => {
    if (has !== should) found.push(`${who} holds of ${what} ${has}, the store ${should}`);
  };
  for (const { who, kind, state } of history.finals) {
    for (const [name, value] of Object.entries(state)) {
      if (kind === "services") {
        const instances = [...(value as Instance[])].sort((a, b) => (a.id < b.id ? -1 : 1));
        wrong(who, name, textOf(instances), truth.instances(name, truth.last));
        continue;
      }
      const live = effectiveOf(truth, name);
      for (const [key, text] of Object.entries(value as Record<string, unknown>)) {
        wrong(who, `${name} ${key}`, String(text), String(live[key]));
      }
    }
  }
  for (const { name, kind, services = SERVICES, set, told, alive } of history.readers.values()) {
    if (!alive) continue;
    if (kind === "config") {
      const last = told.findLast(({ frame }) => frame.data !== undefined)?.frame.data as EffectiveConfig | undefined;
      const live = effectiveOf(truth, set ?? "");
      for (const key of Object.keys(live)) wrong(name, key, String(last?.items[key]?.value), String(live[key]));
      continue;
    }
    const folded = new Folded();
    for (const { frame } of told) folded.take(frame);
    for (const service of services) wrong(name, service, folded.text(service), truth.instances(service, truth.last));
  }
  return found;
}

/** The values that an instance of a profile receives at the end. */
function effectiveOf(truth: Truth, profile: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const layer of ["default", profile]) {
    const items = truth.release(`${NAMESPACE}/${APP}/${layer}`, truth.last)?.items ?? {};
    for (const [key, { value }] of Object.entries(items)) values[key] = value;
  }
  return values;
}

function claimsAreKept(history: History, truth: Truth): string[] {
  const found: string[] = [];
  const there = new Map<string, string | undefined>();
  for (const service of SERVICES) {
    for (const { id, metadata } of JSON.parse(truth.instances(service, truth.last)) as Instance[]) {
      there.set(`${service}/${id}`, metadata["stamp"]);
    }
  }
  for (const [name, stamp] of history.wanted) {
    if (stamp !== undefined && there.get(name) !== String(stamp))
      found.push(`${name} should be there as ${stamp}, and is ${there.get(name)}`);
  }
  for (const name of there.keys()) {
    // Agents' instances are named after them; others belong to processes that may well live on.
    if (/\/a\d+-/.test(name) && !history.wanted.has(name)) found.push(`${name} is there without a claim`);
  }
  return found;
}

function leasesLapseInTime(history: History): string[] {
  const found: string[] = [];
  const leaseOf = new Map<string, string>();
  const ended = new Set<string>();
  for (const { revision, atMs, events } of history.revisions) {
    for (const event of events) {
      if (event.type === "put") {
        if (event.entry.lease === undefined) leaseOf.delete(event.entry.key);
        else leaseOf.set(event.entry.key, event.entry.lease);
        continue;
      }
      const lease = leaseOf.get(event.key);
      leaseOf.delete(event.key);
      const known = lease === undefined ? undefined : history.leases.get(lease);
      if (lease === undefined || !known || history.written.has(revision)) continue;
      ended.add(lease);
      if (known.revokingMs !== undefined && known.revokingMs <= atMs) continue;
      const renewedMs = Math.max(...known.renewedMs.filter((ms) => ms <= atMs));
      const dueMs = renewedMs + known.ttlSeconds * 1000;
      if (atMs < dueMs - 0.001) found.push(`${event.key} went at ${atMs}, its lease stood until ${dueMs}`);
      if (atMs > dueMs + LAPSE_LATE_MS) found.push(`${event.key} went at ${atMs}, its lease had lapsed at ${dueMs}`);
    }
  }
  const endMs = history.revisions.at(-1)?.atMs ?? 0;
  for (const [key, lease] of leaseOf) {
    const known = history.leases.get(lease);
    if (!known || known.revokingMs !== undefined) continue;
    const dueMs = Math.max(...known.renewedMs) + known.ttlSeconds * 1000;
    if (dueMs + LAPSE_LATE_MS < endMs) found.push(`${key} is there at ${endMs}, its lease had lapsed at ${dueMs}`);
  }
  return found;
}

function writesAreRead(history: History, truth: Truth): string[] {
  const found: string[] = [];
  for (const { client, method, path, body, answer } of history.calls) {
    if (!answer || answer.status >= 300) continue;
    const [where = "", query = ""] = path.split("?");
    const one = /^\/v1\/services\/([^/]+)\/instances\/([^/]+)$/.exec(where);
    if (one && (method === "PUT" || method === "DELETE")) {
      const [, service = "", id = ""] = one;
      const { revision } = answer.body as { revision: number };
      const instances = JSON.parse(truth.instances(service, revision)) as Instance[];
      const stamp = instances.find((instance) => instance.id === id)?.metadata["stamp"];
      const wanted = method === "PUT" ? (body as { metadata?: Record<string, string> }).metadata?.["stamp"] : undefined;
      if (stamp !== wanted) {
        found.push(`${client} received ${wanted} for ${path} at ${revision}, and the store has ${stamp}`);
      }
    }
    const all = /^\/v1\/services\/([^/]+)\/instances$/.exec(where);
    if (all && method === "GET") {
      const { revision, instances } = answer.body as { revision: number; instances: Instance[] };
      const asked = Number(new URLSearchParams(query).get("revision") ?? 0);
      if (revision < asked) found.push(`${client} asked as of ${asked} and was answered as of ${revision}`);
      const sorted = [...instances].sort((a, b) => (a.id < b.id ? -1 : 1));
      const should = truth.instances(all[1] ?? "", revision);
      if (textOf(sorted) !== should) {
        found.push(`${client} received ${textOf(sorted)} for ${all[1]} as of ${revision}, and the store has ${should}`);
      }
    }
    if (method === "POST" && where.endsWith("/releases")) {
      const { version, revision } = answer.body as { version: number; revision: number };
      const set = where.slice("/v1/config/".length, -"/releases".length);
      const release = truth.release(set, revision);
      const { items } = body as { items: Record<string, { value: string }> };
      const [key = ""] = Object.keys(items);
      if (release?.version !== version || release.items[key]?.value !== items[key]?.value) {
        found.push(`${client} received ${version} of ${set} as of ${revision}, and it is at ${release?.version}`);
      }
    }
  }
  return found;
}

/**
 * An instance that was deregistered does not come back. A newer claim that was on its way meanwhile may, until its
 * agent inspects all its instances at the server; an instance left after that has no claim.
 */
function noGhosts(history: History): string[] {
  const found: string[] = [];
  for (const { name, stamp, atMs } of history.withdrawn) {
    let taken = 0;
    let buried: number | undefined;
    for (const { revision, atMs: thenMs, events } of history.revisions) {
      for (const event of events) {
        const key = event.type === "put" ? event.entry.key : event.key;
        if (instanceOf(key) !== name) continue;
        if (event.type === "delete") {
          // A lapse says nothing of this claim; a registration of it may still be on its way.
          if (thenMs >= atMs && history.written.has(revision)) buried = Math.min(taken, stamp);
          continue;
        }
        const { metadata } = decodeJson<{ metadata?: Record<string, string> }>(event.entry.value);
        taken = Number(metadata?.["stamp"]);
        if (buried !== undefined && taken <= buried)
          found.push(`${name} came back at ${thenMs}, taken back at ${atMs}`);
      }
    }
  }
  return found;
}

function releasesAreNumbered(_history: History, truth: Truth): string[] {
  return truth.sets().flatMap((set) => {
    const versions = truth.releases(set).map(({ value }) => value.version);
    return versions.every((version, index) => version === index + 1) ? [] : [`${set} has ${versions.join(", ")}`];
  });
}

function configsAreWhole(history: History): string[] {
  const found: string[] = [];
  for (const { name, kind, told } of history.readers.values()) {
    if (kind !== "config") continue;
    const newest = new Map<string, number>();
    for (const { frame, atMs } of told) {
      if (frame.event === "reset") newest.clear();
      const config = frame.data as EffectiveConfig | undefined;
      if (!config) continue;
      const layers = new Map<string, Set<string>>();
      for (const [key, { value, origin }] of Object.entries(config.items)) {
        const stamps = layers.get(origin.profile) ?? new Set();
        layers.set(origin.profile, stamps.add(key === FILE_KEY ? stampOf(value) : value));
        if (origin.version < (newest.get(origin.profile) ?? 0)) {
          found.push(`${name} heard release ${origin.version} of ${origin.profile} again at ${atMs}`);
        }
        newest.set(origin.profile, origin.version);
      }
      for (const [layer, stamps] of layers) {
        if (stamps.size > 1) found.push(`${name} heard a mix in ${layer} at ${atMs}: ${[...stamps].join(", ")}`);
      }
    }
  }
  return found;
}

function filesAreWhole(history: History, truth: Truth): string[] {
  const values = new Set(
    truth.releases(`${NAMESPACE}/${APP}/eu`).map(({ value }) => value.items[FILE_KEY]?.value ?? ""),
  );
  return history.files
    .filter(({ path, text }) => path.endsWith(`/${FILE_KEY}`) && !values.has(text))
    .map(({ path, text, atMs }) => `${path} has "${text}" at ${atMs}, which is not a release`);
}

/** The release that a long value is of; both ends say so. */
function stampOf(value: string): string {
  const [first = "", last = ""] = [value.split(" ")[0], value.split(" ").at(-1)];
  return first === last ? first : `${first}…${last}`;
}
