/** The interface of probe kinds. A new kind is one file beside this one and one row in kinds.ts. */
import type { Clock } from "#base";
import type { Network } from "../network.ts";
import type { ProbeContext, ProbeResult } from "../result.ts";

export interface ProbeKind<Target> {
  /** Makes one probe. Does not reject. */
  readonly probe: (target: Target, setting: ProbeSetting) => Promise<ProbeResult> | ProbeResult;
  /** Where the probe connects to. Absent, or undefined for a target: nowhere by network. */
  readonly connectsTo?: (target: Target) => { host: string; port: number } | undefined;
  /** Names the data that the probe sends beyond a plain read-only request. Absent or undefined: none. */
  readonly writes?: (target: Target) => string | undefined;
  /** Whether the probe stays open and reports changes. Absent: it never does. */
  readonly staysOpen?: (target: Target) => boolean;
  /** Whether only the agent of the target's host can make the probe. */
  readonly isHostOnly?: boolean;
}

/** The means of the process that makes the probes. */
export interface ProbeTools {
  readonly network: Network;
  readonly clock: Clock;
  /** Absolute paths of programs that may be run. */
  readonly execAllow: ReadonlySet<string>;
  /** The status of another instance or service; a result without a status while it is unknown. */
  readonly alias: (target: AliasedInstance, key: string) => ProbeResult;
}

/** The instance, or the service as a whole, whose status another instance takes. */
export interface AliasedInstance {
  /** Absent: the namespace of the instance that has the check. */
  readonly namespace?: string;
  readonly service: string;
  /** Absent: the service as a whole. */
  readonly instance?: string;
}

/** State of a check from one probe to the next. */
export interface ProbeMemory {
  /** The process that had the pid at the first probe. */
  seen?: { readonly pid: number; readonly started: string };
}

/** The circumstances of one probe. */
export interface ProbeSetting {
  /** The key of the check. */
  readonly key: string;
  readonly context: ProbeContext;
  readonly tools: ProbeTools;
  readonly memory: ProbeMemory;
  /** For a probe that stays open: reports the current result. The probe's own result then says what ended it. */
  readonly report?: ((found: ProbeResult) => void) | undefined;
}
