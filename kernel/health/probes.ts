/**
 * One probe of any kind: a deadline, a fresh connection, and no more than a few bytes of the answer. A target that
 * hangs, streams garbage or answers without end costs one socket until the deadline, and 4 KiB.
 */
import type { Host } from "#base";
import type { AliasTarget, ProbeDefinition } from "./core/targets.ts";
import { probeGrpc, watchGrpc } from "./probe-grpc.ts";
import { probeHttp } from "./probe-http.ts";
import { probeExec, probeProcess, type ProcessMemory } from "./probe-local.ts";
import { probeTcp, probeUdp } from "./probe-socket.ts";
import type { Reach } from "./reach.ts";
import { critical, notMade, type ProbeContext, type ProbeResult } from "./result.ts";

/** What a check keeps from one probe to the next. */
export interface ProbeMemory extends ProcessMemory {}

export interface ProbeCall {
  readonly key: string;
  readonly definition: Pick<ProbeDefinition, "target" | "timeoutMs">;
  /** Aborts when the check is removed or redefined. */
  readonly signal: AbortSignal;
  readonly memory: ProbeMemory;
  /** For a probe that goes on: tells how the target is now. The promise then says what ended it. */
  readonly told?: (found: ProbeResult) => void;
}

/** Makes one probe. Never rejects. */
export type Probe = (call: ProbeCall) => Promise<ProbeResult>;

export interface ProbeTools {
  readonly reach: Reach;
  /** Absolute paths of programs that may be run; undefined: this is no agent, and nothing of the host is looked at. */
  readonly execAllow: ReadonlySet<string> | undefined;
  /** How another instance or service is; undefined: nobody knows yet. */
  readonly alias: (target: AliasTarget, key: string) => ProbeResult;
}

export function createProbe(host: Host, tools: ProbeTools): Probe {
  return async (call) => {
    const { timeoutMs } = call.definition;
    const deadline = new AbortController();
    const cancel = host.clock.after(timeoutMs, () => deadline.abort(new Error("deadline")));
    const signal = AbortSignal.any([call.signal, deadline.signal]);
    const context: ProbeContext = { signal, timeoutMs, late: () => deadline.signal.aborted && !call.signal.aborted };
    try {
      return await make(host, tools, call, { context, cancel });
    } finally {
      cancel();
    }
  };
}

function make(
  host: Host,
  { reach, execAllow, alias }: ProbeTools,
  { definition: { target }, key, memory, told }: ProbeCall,
  { context, cancel }: { context: ProbeContext; cancel: () => void },
): Promise<ProbeResult> | ProbeResult {
  const refusal = reach.refusal(target);
  if (refusal) return critical(`not probed with ${refusal.message}`);
  switch (target.type) {
    case "http":
      return probeHttp(target, context, reach);
    case "tcp":
      return probeTcp(target, context, reach);
    case "udp":
      return probeUdp(target, context, reach, host.clock);
    case "grpc": {
      if (!target.watch || !told) return probeGrpc(target, context, reach);
      const watching = {
        ...context,
        told: (found: ProbeResult) => {
          // The deadline is for the first word; then the connection's own signs of life keep the watch.
          cancel();
          told(found);
        },
      };
      return watchGrpc(target, watching, { reach, clock: host.clock });
    }
    case "exec":
      return execAllow ? probeExec(target, context, execAllow) : agentOnly(target.type);
    case "process":
      return execAllow ? probeProcess(target, context, memory) : agentOnly(target.type);
    case "alias":
      return alias(target, key);
    default:
      return notMade(`a check of type ${String((target as { type: unknown }).type)} is of a later version`);
  }
}

function agentOnly(type: string): ProbeResult {
  return critical(`a check of type ${type} is made by the agent of its host only; register it there`);
}
