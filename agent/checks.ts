/**
 * The checks of this host's services: HTTP checks are probed here, TTL checks wait for reports and turn critical when
 * none comes in time. Only a change of verdict is told on.
 */
import { type CancelTimer, type Host } from "#base";
import { DEFAULT_THRESHOLDS, ProbeRunner, worstOf, type HealthResult, type HealthStatus } from "#health";
import {
  AgentErrors,
  type Check,
  type HttpCheck,
  type LocalCheck,
  type LocalRegistration,
  type TtlCheck,
} from "./api.ts";
import type { Static } from "typebox";

const DEFAULT_INTERVAL_SECONDS = 10;
const DEFAULT_TIMEOUT_SECONDS = 5;

export interface LocalVerdict {
  readonly status: HealthResult;
  readonly output: string;
}

type Ttl = Static<typeof TtlCheck>;

interface TtlState {
  readonly check: Ttl;
  status: HealthResult;
  output: string;
  sinceMs: number;
  cancel: CancelTimer;
}

export class LocalChecks implements AsyncDisposable {
  readonly #host: Host;
  readonly #onVerdict: (service: string, check: string, verdict: LocalVerdict) => void;
  readonly #runner: ProbeRunner;
  readonly #services = new Map<string, readonly Check[]>();
  readonly #ttls = new Map<string, TtlState>();

  /** `service` is the key of a claim. */
  constructor(host: Host, onVerdict: (service: string, check: string, verdict: LocalVerdict) => void) {
    this.#host = host;
    this.#onVerdict = onVerdict;
    this.#runner = new ProbeRunner(host, {
      onVerdict: (key, { status, output }) => {
        const [service, check] = splitKey(key);
        if (status !== "unknown") onVerdict(service, check, { status, output });
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

  /** Sets the checks of a service. One that stays the same keeps its status. `initial`: what was known before a restart. */
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
      else this.#setHttp(key, check, registration, initial.get(check.id));
    }
  }

  delete(service: string): void {
    for (const { id } of this.#services.get(service) ?? []) this.#remove(joinKey(service, id));
    this.#services.delete(service);
  }

  /**
   * Takes the word of a service on its TTL check; it holds for the check's time.
   * @throws AGENT_CHECK_NOT_FOUND, AGENT_CHECK_NOT_TTL
   */
  report(service: string, check: string, verdict: LocalVerdict): void {
    const key = joinKey(service, check);
    const state = this.#ttls.get(key);
    if (!state) {
      const known = this.#services.get(service)?.some(({ id }) => id === check);
      if (known)
        throw AgentErrors.CHECK_NOT_TTL(`The agent probes check "${check}" itself; only a TTL check is reported.`);
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
    // Known from before a restart, it has its full time to be reported again.
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
    // Critical without ever having been reported, a first report of critical is news all the same: it has an output.
    const first = state.output === "not reported yet";
    state.status = status;
    state.output = output;
    if (!changed && !first) return;
    if (changed) state.sinceMs = this.#host.clock.now();
    const [service, check] = splitKey(key);
    this.#onVerdict(service, check, { status, output });
  }

  #setHttp(
    key: string,
    check: HttpCheck,
    { protocol = "http", address, port }: LocalRegistration,
    initial: HealthStatus | undefined,
  ): void {
    const origin = `${protocol}://${address.includes(":") ? `[${address}]` : address}:${port}`;
    const { url, path = "/", method = "GET" } = check;
    const { intervalSeconds = DEFAULT_INTERVAL_SECONDS, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = check;
    const { rise = DEFAULT_THRESHOLDS.rise, fall = DEFAULT_THRESHOLDS.fall } = check;
    this.#runner.set(
      key,
      {
        url: url ?? `${origin}${path}`,
        method,
        intervalMs: intervalSeconds * 1000,
        timeoutMs: timeoutSeconds * 1000,
        rise,
        fall,
      },
      initial === undefined ? {} : { initial },
    );
  }

  #remove(key: string): void {
    this.#runner.delete(key);
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

/** A check's id holds no slash. */
function splitKey(key: string): [service: string, check: string] {
  const slash = key.lastIndexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}
