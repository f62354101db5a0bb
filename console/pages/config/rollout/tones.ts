/** The color of each state of a rollout. */
import type { RolloutState } from "#config-server/api";
import type { Tone } from "../../../components/badge.tsx";

export const STATE_TONES: Readonly<Record<RolloutState, Tone>> = {
  running: "moving",
  paused: "warn",
  completed: "good",
  rolledBack: "bad",
  superseded: "idle",
};
