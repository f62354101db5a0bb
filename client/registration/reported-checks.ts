/** TTL checks of a registration: this process probes itself and reports, several times per TTL. */
import { messageOf, TaskGroup, type Host } from "#base";
import type { Check, Report } from "#registry/api";
import type { Client } from "../client.ts";
import type { InstanceName } from "../calls/registry.ts";

type TtlCheck = Extract<Check, { type: "ttl" }>;

/** A TTL check whose status this process finds out. */
export interface ReportedCheck {
  /** @default "health" */
  readonly id?: string | undefined;
  readonly type: "ttl";
  /** Seconds without a report after which it is critical. @default 15 */
  readonly ttlSeconds?: number | undefined;
  /** It is passing if this returns, critical if it throws, and the status that it returns, if any. Absent: always passing. */
  readonly probe?: (() => unknown) | undefined;
}

/** A check as it is stored, and how this process finds out its status. */
interface OwnCheck {
  readonly stored: TtlCheck;
  readonly probe: ReportedCheck["probe"];
}

const TTL_SECONDS = 15;
/** Reports per TTL, so that two may be lost. */
const REPORTS = 3;

/** The checks as the registry stores them. */
export function storedChecks(checks: readonly (Check | ReportedCheck)[]): Check[] {
  return checks.map((check) => (check.type === "ttl" ? ttlCheckOf(check) : check));
}

function ttlCheckOf(check: TtlCheck | ReportedCheck): TtlCheck {
  const { probe: _probe, id = "health", ttlSeconds = TTL_SECONDS, ...rest } = check as ReportedCheck;
  return { ...rest, id, ttlSeconds };
}

export class CheckReporter implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: Pick<Client, "registry">;
  readonly #name: InstanceName;
  readonly #checks: readonly OwnCheck[];
  readonly #tasks: TaskGroup;
  #started = false;

  constructor(
    host: Host,
    client: Pick<Client, "registry">,
    { name, checks }: { name: InstanceName; checks: readonly (Check | ReportedCheck)[] },
  ) {
    this.#host = host;
    this.#client = client;
    this.#name = name;
    this.#checks = checks.flatMap((check) =>
      check.type === "ttl" ? [{ stored: ttlCheckOf(check), probe: (check as ReportedCheck).probe }] : [],
    );
    this.#tasks = new TaskGroup(host.log);
  }

  /** Reports each check once, then again and again. Called after each registration. */
  async start(): Promise<void> {
    await Promise.all(this.#checks.map((check) => this.#report(check, this.#tasks.signal)));
    if (this.#started) return;
    this.#started = true;
    for (const check of this.#checks) {
      this.#tasks.run(`reports of check ${check.stored.id}`, async (signal) => {
        for (;;) {
          await this.#host.clock.sleep((check.stored.ttlSeconds * 1000) / REPORTS, signal).catch(() => {});
          if (signal.aborted) return;
          await this.#report(check, signal);
        }
      });
    }
  }

  async #report({ stored, probe }: OwnCheck, signal: AbortSignal): Promise<void> {
    const report = await reportOf(probe);
    await this.#client.registry.report(this.#name, stored.id, report, { signal }).catch((error: unknown) => {
      // The next report follows soon. If none arrives, the check turns critical by itself.
      this.#host.log.debug({ check: stored.id, err: error }, `not reported: ${messageOf(error)}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

async function reportOf(probe: ReportedCheck["probe"]): Promise<Report> {
  try {
    const found = await probe?.();
    return { status: found === "warning" || found === "critical" ? found : "passing" };
  } catch (error) {
    return { status: "critical", output: messageOf(error).slice(0, 4096) };
  }
}
