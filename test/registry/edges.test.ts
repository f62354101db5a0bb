/** Edges of the registry's commands: which lease a verdict is attached to. And the defaults by which checks are judged. */
import { expect, test } from "vitest";
import { decodeJson, encodeJson } from "#base";
import {
  CHECK_KINDS,
  Damping,
  DAMPING_DEFAULTS,
  JUDGING_DEFAULTS,
  resolveCheck,
  type Check,
  type Registration,
} from "#registry/api";
import type { CatalogEntry } from "../../registry/core/catalog.ts";
import { SERVERS } from "../../registry/core/commands/commander.ts";
import type { KnownEntries, RegistryWrite } from "../../registry/core/commands/plan.ts";
import { registerInstance } from "../../registry/core/commands/register.ts";
import { reportVerdict } from "../../registry/core/commands/verdict.ts";
import { instanceKey, verdictKey } from "../../registry/core/keys.ts";

const NAME = { namespace: "default", service: "orders", id: "orders-1" };
const CHECKS: Check[] = [
  { id: "up", type: "http" },
  { id: "beat", type: "ttl", ttlSeconds: 5 },
];
const registration = (session: string | undefined, over: Partial<Registration> = {}): Registration => ({
  address: "127.0.0.1",
  port: 1,
  checks: CHECKS,
  ...(session === undefined ? {} : { session }),
  ...over,
});

function entryOf(write: RegistryWrite & { type: "put" }): CatalogEntry {
  const { key, value, lease } = write;
  return { key, value, createRevision: 1, modRevision: 1, ...(lease === undefined ? {} : { lease }) };
}

/** The instance under session `old`, with both checks passing; the TTL check's verdict has a lease of its own. */
function registered(): KnownEntries {
  const { writes } = registerInstance(new Map(), {
    name: NAME,
    by: SERVERS,
    registration: registration("old"),
    ifRevision: undefined,
    nowMs: 0,
    refuse: () => undefined,
  });
  const known = new Map(
    writes.flatMap((write) => (write.type === "put" ? [[write.key, entryOf(write)] as const] : [])),
  );
  for (const [check, lease] of [
    ["up", "old"],
    ["beat", "ttl"],
  ] as const) {
    const key = verdictKey(NAME, check);
    known.set(key, entryOf({ type: "put", key, value: encodeJson({ status: "passing", sinceMs: 7 }), lease }));
  }
  return known;
}

function writesOf(next: Registration): readonly RegistryWrite[] {
  const command = {
    name: NAME,
    by: SERVERS,
    registration: next,
    ifRevision: undefined,
    nowMs: 9,
    refuse: () => undefined,
  };
  return registerInstance(registered(), command).writes;
}

test("a verdict moves to the lease of the new session with its instance, unchanged; a TTL check's keeps its own", () => {
  const writes = writesOf(registration("new"));
  expect(writes.map(({ type }) => type)).toEqual(["put", "put"]);
  const [instance, verdict] = writes as [RegistryWrite & { type: "put" }, RegistryWrite & { type: "put" }];
  expect([instance.key, instance.lease]).toEqual([instanceKey(NAME), "new"]);
  expect([verdict.key, verdict.lease]).toEqual([verdictKey(NAME, "up"), "new"]);
  expect(decodeJson(verdict.value)).toEqual({ status: "passing", sinceMs: 7 });
  // Without a session it stays until it is removed, and so does what was found of it.
  expect(writesOf(registration(undefined)).map((write) => "lease" in write)).toEqual([false, false]);
});

test("the same registration under the same session writes nothing", () => {
  expect(writesOf(registration("old"))).toEqual([]);
});

test("a verdict belongs to its check: a removed or changed check has none", () => {
  const moved: Check[] = [{ id: "up", type: "http", path: "/other" }, CHECKS[1] as Check];
  for (const checks of [[CHECKS[1] as Check], moved]) {
    const writes = writesOf(registration("old", { checks }));
    expect(writes.filter(({ type }) => type === "delete")).toEqual([{ type: "delete", key: verdictKey(NAME, "up") }]);
  }
});

test("a verdict that has not changed is written only to move to its instance's lease", () => {
  const report = (known: KnownEntries, status: "passing" | "critical", check = "up") =>
    reportVerdict(known, { name: NAME, by: SERVERS, check, status, nowMs: 9, lease: undefined });
  expect(report(registered(), "passing").writes).toEqual([]);
  expect(report(registered(), "critical").writes).toMatchObject([{ type: "put", lease: "old" }]);
  const moved = new Map(registered());
  const instance = moved.get(instanceKey(NAME)) as CatalogEntry;
  moved.set(instance.key, { ...instance, lease: "new" });
  expect(report(moved, "passing").writes).toMatchObject([{ type: "put", lease: "new" }]);
  // A TTL check has a lease of its own, which is kept alive.
  expect(report(registered(), "passing", "beat")).toEqual({ writes: [], result: { keepAlive: "ttl" } });
  expect(report(registered(), "critical", "beat")).toEqual({ writes: [], result: { grantSeconds: 5 } });
});

test("the defaults of a check are those that the contract states", () => {
  const place = { host: "127.0.0.1", port: 1, tls: false };
  for (const check of [
    { id: "a", type: "http" },
    { id: "a", type: "tcp" },
    { id: "a", type: "udp", send: "x" },
    { id: "a", type: "grpc" },
    { id: "a", type: "exec", program: "/bin/true" },
    { id: "a", type: "process", pid: 1 },
  ] as Check[]) {
    const { rise, fall, damping, intervalSeconds, timeoutSeconds } = resolveCheck(check, place) as never;
    expect({ rise, fall }).toEqual({ rise: JUDGING_DEFAULTS.rise, fall: JUDGING_DEFAULTS.fall });
    expect(damping).toEqual(DAMPING_DEFAULTS);
    const stated = CHECK_KINDS[check.type].properties as Record<string, { default?: unknown }>;
    const defaults = { rise, fall, intervalSeconds, timeoutSeconds } as Record<string, unknown>;
    for (const [name, value] of Object.entries(defaults)) expect([name, stated[name]?.default]).toEqual([name, value]);
  }
  const stated = Object.entries(Damping.properties).map(([name, row]) => [
    name,
    (row as { default?: unknown }).default,
  ]);
  expect(Object.fromEntries(stated)).toEqual(DAMPING_DEFAULTS);
  // A partial setting is filled up with defaults; a disabled one stays disabled; an alias is damped at its target.
  const damped = (check: object) =>
    (resolveCheck({ id: "a", type: "tcp", ...check }, place) as { damping: unknown }).damping;
  expect(damped({ damping: { suppress: 9 } })).toEqual({ ...DAMPING_DEFAULTS, suppress: 9 });
  expect(damped({ damping: false })).toBe(false);
  expect(damped({ type: "alias", service: "db" })).toBe(false);
});
