/** What a stage of a rollout selects, and how far it is. */
import type { RolloutView, StageView } from "#config-server/api";

export type StageProgress = "done" | "now" | "later";

export function stageProgress({ stage, state }: RolloutView, index: number): StageProgress {
  if (index < stage || state === "completed") return "done";
  return index === stage ? "now" : "later";
}

/** `zone=eu` or the instances' ids; undefined for a share and for every instance. */
export function stageNames({ labels, instances }: StageView): string | undefined {
  if (labels)
    return Object.entries(labels)
      .map((pair) => pair.join("="))
      .join(", ");
  return instances?.join(", ");
}
