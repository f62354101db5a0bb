/** Changes of a service's policy. */
import { canonicalJson, decodeJson } from "#base";
import type { ServicePolicy } from "../../api.ts";
import { refuseUnfitChecks } from "../stored-check.ts";
import { put, type CommandPlan, type KnownEntries } from "./plan.ts";

/** Without a policy: deletes it. @throws REGISTRY_CHECK_INVALID */
export function setPolicy(known: KnownEntries, key: string, policy: ServicePolicy | undefined): CommandPlan<void> {
  refuseUnfitChecks(policy?.checks ?? []);
  const current = known.get(key);
  if (policy === undefined) return { writes: current ? [{ type: "delete", key }] : [], result: undefined };
  const same = current && canonicalJson(decodeJson(current.value)) === canonicalJson(policy);
  return { writes: same ? [] : [put(key, policy, undefined)], result: undefined };
}
