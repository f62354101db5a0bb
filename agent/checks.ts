/**
 * The checks of this host's services. The agent probes most of them; a TTL check waits for reports and turns critical when none
 * arrives in time; an alias follows the instances that this host knows. Only a change of verdict is passed on.
 */
import { type CancelTimer, type Host } from "#base";
import {
  createProbe,
  definitionOf,
  HealthHistory,
  notMade,
  ProbeRunner,
  createReach,
  OWN_HOST_RULES,
  bestOf,
  isServing,
  worstOf,
  type AliasedInstance,
  type HealthResult,
  type HealthStatus,
  type HistoryView,
  type ProbeResult,
} from "#health";
import {
  AgentErrors,
  resolveCheck,
  type Check,
  type Instance,
  type LocalCheck,
  type LocalRegistration,
} from "./api.ts";

export interface LocalVerdict {
  readonly status: HealthResult;
  readonly output: string;
}

type Ttl = Extract<Check, { type: "ttl" }>;

interface TtlState {
  readonly check: Ttl;
  status: HealthResult;
  output: string;
  sinceMs: number;
  cancel: CancelTimer;
}

export interface LocalChecksOptions {
  /** Called when the verdict of a check changes; `service` is the key of a claim. */
  readonly onVerdict: (service: string, check: string, verdict: LocalVerdict) => void;
  /** Absolute paths of programs that checks may run. */
  readonly execAllow: readonly string[];
  /** The instances of a service as last sent by the control plane, for aliases; undefined: not known yet. */
  readonly instances: (name: { namespace: string; service: string }) => readonly Instance[] | undefined;
}

export class LocalChecks implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: LocalChecksOptions;
  readonly #history: HealthHistory;
  /** Aliases by the service that they follow: `namespace/service`. */
  readonly #aliases = new Map<string, string>();
  readonly #runner: ProbeRunner;
  readonly #services = new Map<string, readonly Check[]>();
  readonly #ttls = new Map<string, TtlState>();

  constructor(host: Host, options: LocalChecksOptions) {
    this.#host = host;
    this.#options = options;
    this.#history = new HealthHistory(host.clock);
    this.#runner = new ProbeRunner(host, {
      probe: createProbe(host, {
        // Only users of this host can write definitions or reach the local API.
        reach: createReach(OWN_HOST_RULES),
        execAllow: new Set(options.execAllow),
        alias: (target, key) => this.#alias(target, key),
      }),
      onVerdict: (key, { status, output }) => {
        const [service, check] = splitKey(key);
        if (status !== "unknown") this.#report(service, check, { status, output });
      },
      onProbe: (key, result, output) => {
        const [service, check] = splitKey(key);
        this.#history.said(service, check, result, output);
      },
    });
    host.metrics.gauge({
      name: "posthouse_agent_checks",
      help: "Checks of this host's services, by status.",
      labelNames: ["status"],
      collect: (gauge) => {
        const counts = { passing: 0, warning: 0, critical: 0, unknown: 0 };
        for (const service of this.#services.keys()) for (const { status } of this.view(service)) counts[status]++;
        for (const [status, count] of Object.entries(counts)) gauge.labels(status).set(count);
      },
    });
  }

  /** Sets the checks of a service. A check that stays the same keeps its status. `initial`: the statuses before a restart. */
  set(service: string, registration: LocalRegistration, initial: ReadonlyMap<string, HealthStatus> = new Map()): void {
    const checks = registration.checks ?? [];
    const kept = new Set(checks.map(({ id, type }) => `${type} ${id}`));
    for (const { id, type } of this.#services.get(service) ?? []) {
      if (!kept.has(`${type} ${id}`)) this.#remove(joinKey(service, id));
    }
    this.#services.set(service, checks);
    for (const check of checks) {
      const key = joinKey(service, check.id);
      if (check.type === "ttl") this.#setTtl(key, check, initial.get(check.id));
      else this.#setProbed(key, { service, check, registration, initial: initial.get(check.id) });
    }
  }

  delete(service: string): void {
    for (const { id } of this.#services.get(service) ?? []) this.#remove(joinKey(service, id));
    this.#services.delete(service);
    this.#history.forget(service);
  }

  /** A service's health over the last 24 hours. */
  history(service: string): HistoryView {
    return this.#history.view(service);
  }

  /**
   * Takes a service's report on its TTL check, which is valid for the check's time.
   * @throws AGENT_CHECK_NOT_FOUND, AGENT_CHECK_NOT_TTL
   */
  report(service: string, check: string, verdict: LocalVerdict): void {
    const key = joinKey(service, check);
    const state = this.#ttls.get(key);
    if (!state) {
      const known = this.#services.get(service)?.some(({ id }) => id === check);
      if (known)
        throw AgentErrors.CHECK_NOT_TTL(`Check "${check}" is probed by the agent. Only a TTL check can be reported.`);
      throw AgentErrors.CHECK_NOT_FOUND(`The service has no check "${check}". Add it to its definition.`);
    }
    this.#arm(key, state);
    this.#turn(key, state, verdict);
  }

  view(service: string): LocalCheck[] {
    return (this.#services.get(service) ?? []).map(({ id, type }) => {
      const key = joinKey(service, id);
      const known = type === "ttl" ? this.#ttls.get(key) : this.#runner.last(key);
      const { status = "unknown", output = "", sinceMs = this.#host.clock.now() } = known ?? {};
      return { id, type, status, since: new Date(sinceMs).toISOString(), output };
    });
  }

  status(service: string): HealthStatus {
    return worstOf(this.view(service).map(({ status }) => status));
  }

  #setTtl(key: string, check: Ttl, initial: HealthStatus | undefined): void {
    const known = this.#ttls.get(key);
    if (known?.check.ttlSeconds === check.ttlSeconds) return;
    known?.cancel();
    const state: TtlState = known
      ? { ...known, check }
      : {
          check,
          status: initial === undefined || initial === "unknown" ? "critical" : initial,
          output: initial === undefined ? "not reported yet" : "",
          sinceMs: this.#host.clock.now(),
          cancel: () => {},
        };
    this.#ttls.set(key, state);
    // A status from before a restart is valid for the check's full time again.
    if (state.status !== "critical") this.#arm(key, state);
  }

  #arm(key: string, state: TtlState): void {
    state.cancel();
    const { ttlSeconds } = state.check;
    state.cancel = this.#host.clock.after(ttlSeconds * 1000, () =>
      this.#turn(key, state, { status: "critical", output: `not reported for ${ttlSeconds} s` }),
    );
  }

  #turn(key: string, state: TtlState, { status, output }: LocalVerdict): void {
    const changed = state.status !== status;
    // A check is critical before its first report. A first report of critical still counts as a change, since it has an output.
    const first = state.output === "not reported yet";
    state.status = status;
    state.output = output;
    this.#history.said(...splitKey(key), status, output);
    if (!changed && !first) return;
    if (changed) state.sinceMs = this.#host.clock.now();
    const [service, check] = splitKey(key);
    this.#report(service, check, { status, output });
  }

  #report(service: string, check: string, verdict: LocalVerdict): void {
    this.#history.is(service, check, verdict.status);
    this.#options.onVerdict(service, check, verdict);
    const followed = service.slice(0, service.lastIndexOf("/"));
    for (const [key, follows] of this.#aliases) if (follows === followed) this.#runner.poke(key);
  }

  #setProbed(
    key: string,
    {
      service,
      check,
      registration: { protocol = "http", address, port },
      initial,
    }: { service: string; check: Check; registration: LocalRegistration; initial: HealthStatus | undefined },
  ): void {
    const tls = protocol === "https" || protocol === "grpcs" || protocol === "tls";
    const resolved = resolveCheck(check, { host: address, port, tls });
    if (resolved.type === "ttl") return;
    if (resolved.type === "alias") {
      this.#aliases.set(key, `${resolved.namespace ?? service.split("/", 1)[0]}/${resolved.service}`);
    } else this.#aliases.delete(key);
    if ("tls" in resolved && resolved.tls?.skipVerify && this.#runner.last(key) === undefined) {
      this.#host.log.warn({ check: key }, "this check accepts any certificate (tls.skipVerify)");
    }
    this.#runner.set(key, definitionOf(resolved), initial === undefined ? {} : { initial });
  }

  /** The result of an alias: from this host's own checks, and for other instances from the control plane. */
  #alias({ namespace, service, instance }: AliasedInstance, key: string): ProbeResult {
    const [self] = splitKey(key);
    const name = { namespace: namespace ?? self.split("/", 1)[0] ?? "", service };
    const prefix = `${name.namespace}/${service}/`;
    const statuses = new Map<string, HealthStatus>();
    const known = this.#options.instances(name);
    for (const other of known ?? []) {
      const isMeant = instance === undefined ? isServing(other) : other.id === instance;
      if (isMeant) statuses.set(prefix + other.id, other.status);
    }
    for (const local of this.#services.keys()) {
      if (instance === undefined ? local.startsWith(prefix) : local === prefix + instance) {
        statuses.set(local, this.status(local));
      }
    }
    statuses.delete(self);
    const text = instance === undefined ? `service ${prefix.slice(0, -1)}` : `instance ${prefix}${instance}`;
    if (statuses.size === 0) {
      return known ? { result: "critical", output: `${text} does not exist` } : notMade(`${text} is not known yet`);
    }
    const best = bestOf(statuses.values());
    return best === "unknown" ? notMade(`${text} has no verdict yet`) : { result: best, output: `${text} is ${best}` };
  }

  #remove(key: string): void {
    this.#runner.delete(key);
    this.#aliases.delete(key);
    this.#ttls.get(key)?.cancel();
    this.#ttls.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { cancel } of this.#ttls.values()) cancel();
    this.#ttls.clear();
    await this.#runner[Symbol.asyncDispose]();
  }
}

function joinKey(service: string, check: string): string {
  return `${service}/${check}`;
}

/** A check's id does not contain a slash. */
function splitKey(key: string): [service: string, check: string] {
  const slash = key.lastIndexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}
