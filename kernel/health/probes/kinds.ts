/** The table of probe kinds, by the type of the target. */
import { ALIAS_PROBE } from "./alias.ts";
import { EXEC_PROBE } from "./exec.ts";
import { GRPC_PROBE } from "./grpc.ts";
import { HTTP_PROBE } from "./http.ts";
import type { ProbeKind } from "./kind.ts";
import { PROCESS_PROBE } from "./process.ts";
import { TCP_PROBE } from "./tcp.ts";
import { UDP_PROBE } from "./udp.ts";
import { own } from "#base";

const PROBE_KINDS = {
  http: HTTP_PROBE,
  tcp: TCP_PROBE,
  udp: UDP_PROBE,
  grpc: GRPC_PROBE,
  exec: EXEC_PROBE,
  process: PROCESS_PROBE,
  alias: ALIAS_PROBE,
} as const;

type TargetOf<Kind> = Kind extends ProbeKind<infer Target> ? Target : never;

/** The target of a probe, with every default filled in. */
export type Target = TargetOf<(typeof PROBE_KINDS)[keyof typeof PROBE_KINDS]>;

/** The row of a target; undefined for a type that this version does not know. */
export function probeKindOf(target: Target): ProbeKind<Target> | undefined {
  return own(PROBE_KINDS, target.type) as ProbeKind<Target> | undefined;
}
