/**
 * One probe of any kind: a deadline, a fresh connection, and a few bytes of the response. A target that hangs, sends garbage or
 * never ends its response costs one socket until the deadline, and 4 KiB.
 */
import type { Host } from "#base";
import type { ProbeDefinition } from "./definition.ts";
import type { AliasedInstance, ProbeMemory } from "./probes/kind.ts";
import { probeKindOf } from "./probes/kinds.ts";
import type { Reach } from "./reach.ts";
import { critical, notMade, type ProbeContext, type ProbeResult } from "./result.ts";

export interface ProbeCall {
  readonly key: string;
  readonly definition: Pick<ProbeDefinition, "target" | "timeoutMs">;
  /** Aborts when the check is removed or redefined. */
  readonly signal: AbortSignal;
  readonly memory: ProbeMemory;
  /** For a probe that may stay open: reports the current result. The promise then says what ended the probe. */
  readonly report?: (found: ProbeResult) => void;
}

/** Makes one probe. Never rejects. */
export type Probe = (call: ProbeCall) => Promise<ProbeResult>;

export interface ProbeOptions {
  readonly reach: Reach;
  /** Absolute paths of programs that may be run. Undefined: the process is not an agent, so it inspects nothing on its host. */
  readonly execAllow: ReadonlySet<string> | undefined;
  /** The status of another instance or service; a result without a status while it is unknown. */
  readonly alias: (target: AliasedInstance, key: string) => ProbeResult;
}

export function createProbe({ clock }: Pick<Host, "clock">, { reach, execAllow, alias }: ProbeOptions): Probe {
  const tools = { network: reach, clock, execAllow: execAllow ?? new Set<string>(), alias };
  return async ({ definition: { target, timeoutMs }, signal, key, memory, report }) => {
    const refusal = reach.refusal(target);
    if (refusal) return critical(`not probed with ${refusal.message}`);
    const kind = probeKindOf(target);
    if (!kind) return notMade(`a check of type ${target.type} needs a later version of posthouse`);
    if (kind.isHostOnly && !execAllow)
      return critical(`only the agent of its host can make a check of type ${target.type}; register it there`);
    const deadline = new AbortController();
    const cancel = clock.after(timeoutMs, () => deadline.abort(new Error("deadline")));
    const context: ProbeContext = {
      signal: AbortSignal.any([signal, deadline.signal]),
      timeoutMs,
      late: () => deadline.signal.aborted && !signal.aborted,
    };
    const reportOpen = (found: ProbeResult) => {
      // The deadline is for the first report; afterwards the connection's own signs of life keep the probe open.
      cancel();
      report?.(found);
    };
    try {
      return await kind.probe(target, { key, context, tools, memory, report: report && reportOpen });
    } finally {
      cancel();
    }
  };
}
