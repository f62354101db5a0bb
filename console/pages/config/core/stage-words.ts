/** A stage of a rollout: its instances, its progress, and the condition that it waits for. */
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

/** The condition that a rollout waits for; `other` is the server's own sentence. */
export type Waiting =
  | { readonly kind: "acknowledgements"; readonly missing: readonly string[] }
  | { readonly kind: "hold"; readonly seconds: number }
  | { readonly kind: "other"; readonly words: string };

export function waitingOf({ state, waitsFor, instances = [] }: RolloutView): Waiting | undefined {
  if (waitsFor === undefined || state === "paused") return undefined;
  const hold = /held for another (\d+) s$/.exec(waitsFor)?.[1];
  if (hold !== undefined) return { kind: "hold", seconds: Number(hold) };
  const missing = instances.filter(({ reached, present, outcome }) => reached && present && outcome === undefined);
  if (missing.length === 0) return { kind: "other", words: waitsFor };
  return { kind: "acknowledgements", missing: missing.map(({ instance }) => instance) };
}
