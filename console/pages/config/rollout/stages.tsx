/** The stages of a rollout beside each other: done, present, to come. */
import { Check } from "lucide";
import type { RolloutView, StageView } from "#config-server/api";
import { Icon } from "../../../components/icon.tsx";
import { stageNames, stageProgress, type StageProgress } from "../core/stage-words.ts";
import { rolloutText } from "../rollout-text.ts";

export function RolloutStages({ rollout }: { readonly rollout: RolloutView }) {
  return (
    <ol class="rollout-stages">
      {rollout.stages.map((stage, index) => (
        <Stage key={index} stage={stage} index={index} progress={stageProgress(rollout, index)} />
      ))}
    </ol>
  );
}

interface StageProps {
  readonly stage: StageView;
  readonly index: number;
  readonly progress: StageProgress;
}

function Stage({ stage, index, progress }: StageProps) {
  const text = rolloutText();
  const { percent, holdSeconds, applied = 0, reached = 0 } = stage;
  const names = stageNames(stage) ?? (percent === undefined ? text.everyone : text.percent(percent));
  const words = { done: text.isDone, now: text.isNow, later: text.notBegun }[progress];
  return (
    <li data-progress={progress} aria-current={progress === "now" ? "step" : undefined}>
      <span class="stage-mark" aria-hidden="true">
        {progress === "done" ? <Icon of={Check} size={12} /> : index + 1}
      </span>
      <div class="what">
        <strong title={names}>{names}</strong>
        <span class="muted">
          {words} · {text.hold(holdSeconds)}
        </span>
        {progress !== "later" && (
          <>
            <span>{text.acks(applied, reached)}</span>
            <progress max={Math.max(1, reached)} value={applied} aria-label={text.acks(applied, reached)} />
          </>
        )}
      </div>
    </li>
  );
}
