/** Transitions of instances as changes: they are stored in the histories of health, so the log does not repeat them. */
import { changeId, type StoredChange } from "#changes";
import type { HealthTransition } from "#registry/api";
import type { ChangeKind } from "./api.ts";

/** One transition of one instance, as the registry remembers it. */
export interface HealthChangeFact {
  readonly name: { readonly namespace: string; readonly service: string; readonly id: string };
  readonly before: Pick<HealthTransition, "status" | "lifecycle">;
  readonly transition: HealthTransition;
  readonly atMs: number;
}

/** Words for the end of an instance, when nothing else says why. */
const ENDS: Readonly<Record<string, string>> = {
  deregistered: "deregistered",
  evicted: "evicted",
  ended: "its session ended",
};

export function changeOfHealth(fact: HealthChangeFact): StoredChange & { readonly id: string } {
  const { name, before, transition, atMs } = fact;
  const { status, lifecycle, check, output, cause } = transition;
  const kind: ChangeKind =
    status === "gone"
      ? "instance-gone"
      : before.status === "gone"
        ? "instance-registered"
        : before.lifecycle === lifecycle
          ? "instance-health"
          : "instance-lifecycle";
  const isLifecycle = kind === "instance-lifecycle";
  const reason = output ?? (status === "gone" ? ENDS[cause] : cause === "lapsed" ? "no report in time" : undefined);
  return {
    id: changeId(atMs, `${name.namespace}/${name.service}/${name.id}/${status}/${lifecycle ?? ""}`),
    at: transition.at,
    kind,
    subject: { type: "instance", namespace: name.namespace, service: name.service, instance: name.id },
    from: (isLifecycle ? before.lifecycle : before.status) ?? before.status,
    to: (isLifecycle ? lifecycle : status) ?? status,
    ...(check === undefined ? {} : { check }),
    ...(reason === undefined ? {} : { reason }),
  };
}
