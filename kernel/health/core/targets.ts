/**
 * What can be asked whether it is well, and how often: a check with every default filled in and its target spelled out.
 * Plain data, so that two of them are the same check when they say the same.
 */
import type { DampingOptions } from "./damping.ts";
import type { Thresholds } from "./state.ts";

export interface TlsOptions {
  /** Name to ask for and to verify; absent: the target's own. */
  readonly serverName?: string;
  /** Authorities to trust instead of the system's, in PEM. */
  readonly ca?: string;
  /** Takes any certificate: then TLS hides what is said, but not from whoever stands in between. */
  readonly skipVerify?: boolean;
}

export interface HttpTarget {
  readonly type: "http";
  readonly url: string;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Numbers and ranges such as "200-299"; absent: 2xx passes and 429 warns. */
  readonly expectStatus?: readonly (number | string)[];
  /** Text that the start of the answer must hold. */
  readonly bodyContains?: string;
  /** The start of the answer, as a whole; `*` stands for any text. */
  readonly bodyPattern?: string;
  readonly tls?: TlsOptions;
}

export interface TcpTarget {
  readonly type: "tcp";
  readonly host: string;
  readonly port: number;
  readonly send?: string;
  readonly expect?: string;
  /** Absent: without TLS. */
  readonly tls?: TlsOptions;
}

export interface UdpTarget {
  readonly type: "udp";
  readonly host: string;
  readonly port: number;
  readonly send: string;
  readonly expect?: string;
}

export interface GrpcTarget {
  readonly type: "grpc";
  readonly host: string;
  readonly port: number;
  /** As grpc.health.v1 has it; empty: the whole server. */
  readonly service: string;
  /** Keeps a Watch open and hears of changes at once, instead of asking with Check each time. */
  readonly watch: boolean;
  readonly tls?: TlsOptions;
}

export interface ExecTarget {
  readonly type: "exec";
  readonly program: string;
  readonly args: readonly string[];
}

export interface ProcessTarget {
  readonly type: "process";
  readonly pid?: number;
  readonly pidFile?: string;
}

export interface AliasTarget {
  readonly type: "alias";
  /** Absent: that of the instance that has the check. */
  readonly namespace?: string;
  readonly service: string;
  /** Absent: the service as a whole. */
  readonly instance?: string;
}

export type Target = HttpTarget | TcpTarget | UdpTarget | GrpcTarget | ExecTarget | ProcessTarget | AliasTarget;

export interface ProbeDefinition extends Thresholds {
  readonly target: Target;
  readonly intervalMs: number;
  /** From the first packet to the last byte read. */
  readonly timeoutMs: number;
  /** Before the first probe of a check that was never judged. */
  readonly initialDelayMs: number;
  /** A good answer that took longer is a warning. */
  readonly warnAfterMs: number | undefined;
  /** Absent: not damped. */
  readonly damping: DampingOptions | undefined;
}

/** How a contract states when and how a check is judged; the contract's own units. */
export interface StatedJudging extends Thresholds {
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly initialDelaySeconds: number;
  readonly warnAfterMs?: number;
  readonly damping: DampingOptions | false;
}

/** A check as a contract states it: what to ask, how to judge, and whose business else it is. */
export type StatedCheck = Target & StatedJudging & { readonly id: string; readonly deregisterAfterSeconds?: number };

/** What a runner makes of a stated check. */
export function definitionOf(check: StatedCheck): ProbeDefinition {
  const { id: _id, deregisterAfterSeconds: _after, ...stated } = check;
  const { intervalSeconds, timeoutSeconds, initialDelaySeconds, rise, fall, warnAfterMs, damping, ...target } = stated;
  return {
    target,
    intervalMs: intervalSeconds * 1000,
    timeoutMs: timeoutSeconds * 1000,
    initialDelayMs: initialDelaySeconds * 1000,
    warnAfterMs,
    rise,
    fall,
    damping: damping === false ? undefined : damping,
  };
}
