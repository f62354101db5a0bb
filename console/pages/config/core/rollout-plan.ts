/** A gradual release as it is typed into fields, and the request that it becomes. */
import type { RolloutRequest, StageRequest } from "#config-server/api";

export type StageBy = "percent" | "labels" | "instances";

export interface StageFields {
  readonly id: number;
  readonly by: StageBy;
  readonly percent: string;
  readonly labels: string;
  readonly instances: string;
}

export interface RolloutFields {
  readonly stages: readonly StageFields[];
  readonly holdSeconds: string;
  readonly ackTimeoutSeconds: string;
  readonly onFailure: "rollback" | "pause";
}

export function newStage(stages: readonly StageFields[]): StageFields {
  const id = Math.max(0, ...stages.map((stage) => stage.id)) + 1;
  return { id, by: "percent", percent: stages.length === 0 ? "10" : "50", labels: "", instances: "" };
}

export const FIRST_ROLLOUT: RolloutFields = {
  stages: [newStage([])],
  holdSeconds: "60",
  ackTimeoutSeconds: "120",
  onFailure: "rollback",
};

/** Undefined while a field is not valid. */
export function rolloutOf({
  stages,
  holdSeconds,
  ackTimeoutSeconds,
  onFailure,
}: RolloutFields): RolloutRequest | undefined {
  const gate = { holdSeconds: Number(holdSeconds), ackTimeoutSeconds: Number(ackTimeoutSeconds) };
  if (holdSeconds === "" || !(gate.holdSeconds >= 0) || !(gate.ackTimeoutSeconds > 0)) return undefined;
  const given = stages.map(stageOf);
  if (given.length === 0 || given.includes(undefined)) return undefined;
  return {
    stages: (given as StageRequest[]).map((stage) => ({ ...stage, ...gate })),
    everybody: gate,
    onFailure,
  };
}

function stageOf({ by, percent, labels, instances }: StageFields): StageRequest | undefined {
  if (by === "percent") {
    const share = Number(percent);
    return percent !== "" && share > 0 && share <= 100 ? { percent: share } : undefined;
  }
  const words = (by === "labels" ? labels : instances).split(/[,\s]+/).filter((word) => word !== "");
  if (words.length === 0) return undefined;
  if (by === "instances") return { instances: words };
  const pairs = words.map((word) => word.split("=", 2));
  return pairs.every(([name, value]) => name && value) ? { labels: Object.fromEntries(pairs) } : undefined;
}

/** Options of `posthouse config rollout start`, which knows one stage by labels, one by instances, and shares. */
export function rolloutWords({ stages, everybody = {}, onFailure }: RolloutRequest): string[] {
  const percents = stages.flatMap(({ percent }) => (percent === undefined ? [] : [String(percent)]));
  return [
    ...stages.flatMap(({ instances = [] }) => (instances.length === 0 ? [] : ["--instances", ...instances])),
    ...stages.flatMap(({ labels }) =>
      labels
        ? [
            "--labels",
            Object.entries(labels)
              .map((pair) => pair.join("="))
              .join(","),
          ]
        : [],
    ),
    ...(percents.length === 0 ? [] : ["--percent", percents.join(",")]),
    "--hold-seconds",
    String(everybody.holdSeconds ?? 0),
    ...(onFailure === "pause" ? ["--on-failure", "pause"] : []),
  ];
}
