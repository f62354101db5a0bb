/** A check that takes the status of another instance, or of another service as a whole. */
import type { AliasedInstance, ProbeKind } from "./kind.ts";

export interface AliasTarget extends AliasedInstance {
  readonly type: "alias";
}

export const ALIAS_PROBE: ProbeKind<AliasTarget> = {
  probe: (target, { key, tools }) => tools.alias(target, key),
};
