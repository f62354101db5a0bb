/** Commands of the registry, planned on what is known, without a store: who may do what, and what is written. */
import { expect, test } from "vitest";
import { AppError, decodeJson, encodeJson } from "#base";
import { DRAIN_SECONDS_MAX, type Check, type Registration, type ServicePolicy } from "#registry/api";
import type { CatalogEntry } from "../../registry/core/catalog.ts";
import { SERVERS, type Commander } from "../../registry/core/commands/commander.ts";
import { deregisterInstance, type DeregisterCommand } from "../../registry/core/commands/deregister.ts";
import { evictInstance } from "../../registry/core/commands/evict.ts";
import { setLifecycle, type SetLifecycleCommand } from "../../registry/core/commands/lifecycle.ts";
import type { RegistryWrite } from "../../registry/core/commands/plan.ts";
import { setPolicy } from "../../registry/core/commands/policy.ts";
import { registerBatch, registerInstance, type RegisterCommand } from "../../registry/core/commands/register.ts";
import { reportVerdict } from "../../registry/core/commands/verdict.ts";
import { instanceKey, policyKey, tombstoneKey, verdictKey } from "../../registry/core/keys.ts";
import type { InstanceRecord, TombstoneRecord, VerdictRecord } from "../../registry/core/record.ts";

const NAME = { namespace: "default", service: "orders", id: "orders-1" };
const ANN: Commander = { id: "token:ann", overrides: false };
const BEN: Commander = { id: "token:ben", overrides: false };
const OPERATOR: Commander = { id: "token:op", overrides: true };
const UP: Check = { id: "up", type: "http" };
const BEAT: Check = { id: "beat", type: "ttl", ttlSeconds: 5 };
const HERE: Registration = { address: "10.0.0.1", port: 80, checks: [] };

/** The state of a store after each command. */
class Facts {
  readonly known = new Map<string, CatalogEntry>();
  revision = 0;

  apply(writes: readonly RegistryWrite[]): void {
    if (writes.length > 0) this.revision++;
    for (const write of writes) {
      if (write.type === "put") {
        const { key, value, lease } = write;
        const createRevision = this.known.get(key)?.createRevision ?? this.revision;
        const rest = lease === undefined ? {} : { lease };
        this.known.set(key, { key, value, createRevision, modRevision: this.revision, ...rest });
      } else if ("key" in write) this.known.delete(write.key);
      else for (const key of this.known.keys()) if (key.startsWith(write.prefix)) this.known.delete(key);
    }
  }

  register(registration: Partial<Registration> = {}, more: Partial<RegisterCommand> = {}) {
    const command = { name: NAME, by: ANN, ifRevision: undefined, nowMs: 1000, refuse: () => undefined, ...more };
    const plan = registerInstance(this.known, { registration: { ...HERE, ...registration }, ...command });
    this.apply(plan.writes);
    return plan;
  }

  deregister(more: Partial<DeregisterCommand> = {}) {
    const command = { name: NAME, by: ANN, ifRevision: undefined, tombstoneLease: "grave", ...more };
    const plan = deregisterInstance(this.known, command);
    this.apply(plan.writes);
    return plan;
  }

  lifecycle(lifecycle: SetLifecycleCommand["lifecycle"], more: Partial<SetLifecycleCommand> = {}) {
    const plan = setLifecycle(this.known, { name: NAME, by: ANN, lifecycle, drainUntilMs: 5000, ...more });
    this.apply(plan.writes);
    return plan.writes.length;
  }

  report(status: "passing" | "critical", { check = "up", by = ANN, nowMs = 9000 } = {}) {
    const plan = reportVerdict(this.known, { name: NAME, by, check, status, nowMs, lease: undefined });
    this.apply(plan.writes);
    return plan;
  }

  policy(policy: ServicePolicy): void {
    this.apply(setPolicy(this.known, policyKey(NAME), policy).writes);
  }

  read<Value>(key: string): Value | undefined {
    const entry = this.known.get(key);
    return entry && decodeJson<Value>(entry.value);
  }

  get record(): InstanceRecord | undefined {
    return this.read(instanceKey(NAME));
  }

  get grave(): TombstoneRecord | undefined {
    return this.read(tombstoneKey(NAME));
  }
}

/** The code of the error that this throws, and what it names. */
function errorOf(run: () => unknown): [string, unknown] | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [error.code, error.extra];
  }
}

test("each port has a name of its own, and each check an id of its own", () => {
  const facts = new Facts();
  const ports = (...names: string[]) => names.map((name, i) => ({ name, port: 9000 + i }));
  expect(errorOf(() => facts.register({ ports: ports("a", "b", "a") }))).toEqual([
    "REGISTRY_REGISTRATION_INVALID",
    { field: "/ports/2/name" },
  ]);
  expect(errorOf(() => facts.register({ checks: [UP, { id: "up", type: "tcp" }] }))).toEqual([
    "REGISTRY_CHECK_INVALID",
    { field: "/checks" },
  ]);
  expect(facts.register({ ports: ports("a", "b"), checks: [UP, BEAT] }).result).toEqual({ created: true });
});

test("a conditional registration is written only at that revision; 0 means that the instance must not exist yet", () => {
  const facts = new Facts();
  const at = (ifRevision: number) => errorOf(() => facts.register({ port: 81 }, { ifRevision }));
  expect(at(3)).toEqual(["REGISTRY_REVISION_MISMATCH", { revision: 0 }]);
  expect(at(0)).toBeUndefined();
  expect(at(0)).toEqual(["REGISTRY_REVISION_MISMATCH", { revision: 1 }]);
  expect(at(1)).toBeUndefined();
  expect(facts.deregister({ ifRevision: 1 }).result).toEqual({ absent: false });
});

test("an instance belongs to the principal that registered it; an operator may change it and does not take it", () => {
  const facts = new Facts();
  facts.register({ checks: [UP] });
  expect(errorOf(() => facts.register({}, { by: BEN }))).toMatchObject(["REGISTRY_OWNED_BY_ANOTHER", {}]);
  for (const change of [
    () => facts.deregister({ by: BEN }),
    () => facts.lifecycle("draining", { by: BEN }),
    () => facts.report("passing", { by: BEN }),
  ]) {
    expect(errorOf(change)).toMatchObject(["REGISTRY_NOT_OWNER", {}]);
  }
  facts.register({ checks: [UP], port: 81 }, { by: OPERATOR });
  expect(facts.record).toMatchObject({ port: 81, registeredBy: ANN.id });
  expect([facts.lifecycle("draining", { by: OPERATOR }), facts.lifecycle("serving")]).toEqual([1, 1]);
  // A record of a version that kept no principal is everybody's.
  const { registeredBy: _registeredBy, ...older } = facts.record as InstanceRecord;
  facts.apply([{ type: "put", key: instanceKey(NAME), value: encodeJson(older) }]);
  expect(facts.lifecycle("draining", { by: BEN })).toBe(1);
});

test("within one principal an id belongs to the owner that claimed it, and to the latest incarnation", () => {
  const facts = new Facts();
  facts.register({ owner: "node-1", incarnation: 5 });
  const claim = (owner?: string, incarnation?: number) =>
    errorOf(() =>
      facts.register({
        ...(owner === undefined ? {} : { owner }),
        ...(incarnation === undefined ? {} : { incarnation }),
      }),
    );
  expect(claim("node-2", 9)).toEqual(["REGISTRY_OWNED_BY_ANOTHER", { field: "/owner", owner: "node-1" }]);
  expect(claim("node-1", 4)).toEqual(["REGISTRY_CLAIM_OUTDATED", { field: "/incarnation", incarnation: 5 }]);
  expect([claim("node-1", 5), claim("node-1", 6), claim("node-1")]).toEqual([undefined, undefined, undefined]);
  // The last registration had no incarnation, so no claim is older.
  expect([claim("node-1", 1), claim(), claim("node-2", 1)]).toEqual([undefined, undefined, undefined]);
});

test("a claim that was deregistered does not come back by a late repetition; the grave goes with a newer claim", () => {
  const facts = new Facts();
  const claim = (incarnation: number | undefined, owner = "node-1", by = ANN) =>
    errorOf(() => facts.register({ owner, ...(incarnation === undefined ? {} : { incarnation }) }, { by }));
  facts.register({ owner: "node-1", incarnation: 5 });
  const { writes } = facts.deregister();
  expect(writes).toContainEqual(expect.objectContaining({ key: tombstoneKey(NAME), lease: "grave" }));
  expect(facts.grave).toEqual({ owner: "node-1", incarnation: 5, by: ANN.id });
  const late = ["REGISTRY_CLAIM_OUTDATED", { field: "/incarnation", incarnation: 5 }];
  expect([claim(4), claim(5)]).toEqual([late, late]);
  expect([claim(6), facts.grave]).toEqual([undefined, undefined]);
  facts.deregister({ evicted: true });
  expect(claim(6)).toEqual(["REGISTRY_CLAIM_OUTDATED", { field: "/incarnation", incarnation: 6, evicted: true }]);
  // Another owner, another principal, or no incarnation: another claim.
  for (const other of [() => claim(1, "node-2"), () => claim(1, "node-1", BEN), () => claim(undefined)]) {
    const before = facts.known.get(tombstoneKey(NAME));
    expect([other(), facts.grave]).toEqual([undefined, undefined]);
    facts.known.delete(instanceKey(NAME));
    facts.known.set(tombstoneKey(NAME), before as CatalogEntry);
  }
  // An instance without an owner, or without an incarnation, leaves no grave.
  for (const unclaimed of [{}, { owner: "node-3" }]) {
    facts.register(unclaimed);
    facts.deregister();
    expect(facts.grave).toBeUndefined();
  }
});

test("a deregistration takes back a claim that is still on its way, of the same principal only", () => {
  const facts = new Facts();
  expect(errorOf(() => facts.deregister())).toMatchObject(["REGISTRY_INSTANCE_NOT_FOUND", {}]);
  const claim = (incarnation: number, owner = "node-1") => ({ claim: { owner, incarnation } });
  expect(facts.deregister(claim(7)).result).toEqual({ absent: true });
  expect(facts.grave).toEqual({ owner: "node-1", incarnation: 7, by: ANN.id });
  // A newer tombstone stays.
  facts.deregister(claim(6));
  expect(facts.grave).toMatchObject({ incarnation: 7 });
  facts.deregister(claim(8));
  expect(facts.grave).toMatchObject({ incarnation: 8 });
  expect(facts.deregister({ ...claim(9), by: BEN }).writes).toEqual([]);
  expect(facts.deregister({ ...claim(9), by: OPERATOR }).writes).toHaveLength(1);
  facts.deregister(claim(1, "node-2"));
  expect(facts.grave).toMatchObject({ owner: "node-1", incarnation: 9 });
});

test("a deregistration records the later of the claim that it names and the current claim", () => {
  const buried = (stands: number, named: number | undefined, owner = "node-1") => {
    const facts = new Facts();
    facts.register({ owner: "node-1", incarnation: stands });
    facts.deregister({ by: OPERATOR, claim: named === undefined ? undefined : { owner, incarnation: named } });
    return facts.grave;
  };
  const grave = (incarnation: number) => ({ owner: "node-1", incarnation, by: ANN.id });
  expect([buried(5, undefined), buried(5, 4), buried(5, 7), buried(5, 7, "node-2")]).toEqual([
    grave(5),
    grave(5),
    grave(7),
    grave(5),
  ]);
});

test("a deregistration takes the verdicts along", () => {
  const facts = new Facts();
  facts.register({ checks: [UP] });
  facts.report("passing");
  facts.deregister();
  expect([...facts.known.keys()]).toEqual([]);
});

test("an agent's verdicts come with the registration, keep their time while they stay, and follow the session", () => {
  const facts = new Facts();
  const body: Partial<Registration> = { checks: [UP, BEAT], probedBy: "agent" };
  const verdict = () => facts.read<VerdictRecord>(verdictKey(NAME, "up"));
  const register = (status: "passing" | "critical", nowMs: number, session?: string) =>
    facts.register(
      { ...body, verdicts: [{ check: "up", status }], ...(session === undefined ? {} : { session }) },
      { nowMs },
    ).writes.length;
  expect([register("passing", 1), verdict()]).toEqual([2, { status: "passing", sinceMs: 1 }]);
  expect([register("passing", 2), verdict()]).toEqual([0, { status: "passing", sinceMs: 1 }]);
  expect([register("passing", 3, "s"), verdict()]).toEqual([2, { status: "passing", sinceMs: 1 }]);
  expect(facts.known.get(verdictKey(NAME, "up"))?.lease).toBe("s");
  expect([register("critical", 4, "s"), verdict()]).toEqual([1, { status: "critical", sinceMs: 4 }]);
  const problem = (verdicts: Registration["verdicts"], over: Partial<Registration> = {}) =>
    errorOf(() => facts.register({ ...body, ...over, verdicts: verdicts ?? [] }));
  const passing = (check: string) => ({ check, status: "passing" as const });
  const at = (index: number) => ["REGISTRY_REGISTRATION_INVALID", { field: `/verdicts/${index}` }];
  expect(problem([passing("up"), passing("up")])).toEqual(at(1));
  expect(problem([passing("down")])).toEqual(at(0));
  expect(problem([passing("beat")])).toEqual(at(0));
  expect(problem([passing("up")], { probedBy: "server" })).toEqual(at(0));
});

test("a batch names the place of an instance that it holds twice, and counts those that are new", () => {
  const facts = new Facts();
  const of = (id: string): RegisterCommand => ({
    name: { ...NAME, id },
    by: ANN,
    registration: HERE,
    ifRevision: undefined,
    nowMs: 0,
    refuse: () => undefined,
  });
  expect(errorOf(() => registerBatch(facts.known, [of("a"), of("b"), of("a")]))).toEqual([
    "REGISTRY_REGISTRATION_INVALID",
    { field: "/instances/2" },
  ]);
  facts.register();
  const { writes, result } = registerBatch(facts.known, [of("a"), of(NAME.id), of("b")]);
  // One that is there already, and the same, is not written again.
  expect([writes.length, result]).toEqual([2, { created: 2 }]);
});

test("a drain has a deadline while it lasts, and only the drain that is over is ended by the servers", () => {
  const facts = new Facts();
  facts.register();
  expect([facts.lifecycle("serving"), facts.lifecycle("draining"), facts.record?.drainUntilMs]).toEqual([0, 1, 5000]);
  expect(facts.lifecycle("draining", { drainUntilMs: 9000 })).toBe(0);
  const end = (ifOverAtMs: number) => facts.lifecycle("stopped", { by: SERVERS, ifOverAtMs });
  expect([end(4999), end(5000)]).toEqual([0, 1]);
  expect(facts.record).toMatchObject({ lifecycle: "stopped" });
  expect(facts.record).not.toHaveProperty("drainUntilMs");
  facts.lifecycle("serving");
  expect(end(9e9)).toBe(0);
  expect(errorOf(() => new Facts().lifecycle("serving"))).toMatchObject(["REGISTRY_INSTANCE_NOT_FOUND", {}]);
});

test("a drain that comes with a registration lasts as long as any may, and repeating it moves nothing", () => {
  const facts = new Facts();
  facts.register({ lifecycle: "draining" }, { nowMs: 1000 });
  const until = 1000 + DRAIN_SECONDS_MAX * 1000;
  expect(facts.record?.drainUntilMs).toBe(until);
  expect(facts.register({ lifecycle: "draining" }, { nowMs: 2000 }).writes).toEqual([]);
  facts.register({ lifecycle: "serving" }, { nowMs: 3000 });
  expect(facts.record).not.toHaveProperty("drainUntilMs");
});

test("the same policy is not written again, and a missing policy is not deleted", () => {
  const facts = new Facts();
  const key = policyKey(NAME);
  const writes = (policy: ServicePolicy | undefined) => {
    const plan = setPolicy(facts.known, key, policy);
    facts.apply(plan.writes);
    return plan.writes.map(({ type }) => type);
  };
  const policy = { minHealthyPercent: 30 };
  expect([writes(undefined), writes(policy), writes({ ...policy }), writes({ minHealthyPercent: 31 })]).toEqual([
    [],
    ["put"],
    [],
    ["put"],
  ]);
  expect([writes(undefined), facts.known.size]).toEqual([["delete"], 0]);
  expect(errorOf(() => writes({ checks: [{ id: "x", type: "http", path: "/a", url: "http://b/" }] }))).toMatchObject([
    "REGISTRY_CHECK_INVALID",
    {},
  ]);
});

test("an instance that states no checks has those of its service's policy, unless an agent probes it", () => {
  const facts = new Facts();
  facts.policy({ checks: [BEAT] });
  const checksOf = (over: Partial<Registration>) => {
    const { checks: _checks, ...rest } = HERE;
    const known = { name: NAME, by: ANN, ifRevision: undefined, nowMs: 0, refuse: () => undefined };
    facts.apply(registerInstance(facts.known, { ...known, registration: { ...rest, ...over } }).writes);
    return facts.record?.checks.map(({ id }) => id);
  };
  expect([checksOf({}), checksOf({ checks: [UP] }), checksOf({ probedBy: "agent" })]).toEqual([["beat"], ["up"], []]);
});

test("a check that states no target asks where its instance answers", () => {
  const target = (over: Partial<Registration>) => {
    const facts = new Facts();
    facts.register({ checks: [UP], ...over });
    return (facts.record?.checks[0] as { url?: string } | undefined)?.url;
  };
  expect([target({}), target({ address: "fd00::1" }), target({ address: "db.example", port: 8080 })]).toEqual([
    "http://10.0.0.1:80/",
    "http://[fd00::1]:80/",
    "http://db.example:8080/",
  ]);
  const schemes = (["http", "https", "grpc", "grpcs", "tcp", "tls"] as const).map(
    (protocol) => target({ protocol })?.split(":")[0],
  );
  expect(schemes).toEqual(["http", "https", "http", "https", "http", "https"]);
});

test("the servers refuse a check that they would not run, of those that they are to run", () => {
  const facts = new Facts();
  const register = (over: Partial<Registration>) => {
    const refuse: RegisterCommand["refuse"] = ({ id }) => (id === "up" ? "a header" : undefined);
    return errorOf(() => facts.register(over, { refuse }));
  };
  const checks = [BEAT, { id: "port", type: "tcp" as const }, UP];
  expect(register({ checks })).toEqual(["REGISTRY_CHECK_INVALID", { field: "/checks/2" }]);
  expect(register({ checks, probedBy: "agent" })).toBeUndefined();
  expect(register({ checks: [{ id: "up", type: "ttl", ttlSeconds: 5 }] })).toBeUndefined();
  expect(errorOf(() => facts.register({ address: "a..b" }))).toEqual([
    "REGISTRY_REGISTRATION_INVALID",
    { field: "/address" },
  ]);
});

test("an instance is evicted only while its check is critical", () => {
  const evicted = (check: string, status?: "passing" | "critical") => {
    const facts = new Facts();
    facts.register({ checks: [UP, BEAT] });
    if (status) facts.report(status, { check });
    const command = { name: NAME, by: SERVERS, ifRevision: undefined, tombstoneLease: "grave", check };
    const { writes, result } = evictInstance(facts.known, command);
    return [result, writes.length > 0];
  };
  expect([evicted("up", "critical"), evicted("up", "passing"), evicted("up")]).toEqual([
    [true, true],
    [false, false],
    [false, false],
  ]);
  // A TTL check without a report has lapsed.
  expect(evicted("beat")).toEqual([true, true]);
  expect(errorOf(() => evicted("gone"))).toMatchObject(["REGISTRY_CHECK_NOT_FOUND", {}]);
});

test("a report names what is not there", () => {
  const facts = new Facts();
  expect(errorOf(() => facts.report("passing"))).toMatchObject(["REGISTRY_INSTANCE_NOT_FOUND", {}]);
  facts.register({ checks: [UP] });
  expect(errorOf(() => facts.report("passing", { check: "down" }))).toMatchObject(["REGISTRY_CHECK_NOT_FOUND", {}]);
});
