/** The running rollout of a set with its stages and instances, and rollouts that ended. */
import { Split } from "lucide";
import type { RolloutView as Rollout } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { Card, Facts } from "../../../components/layout.tsx";
import { EmptyState, Problem, Skeleton } from "../../../components/states.tsx";
import { cliOf } from "../../../data/commands.ts";
import { useResource } from "../../../data/resource.ts";
import { formatAgo, formatTime } from "../../../data/time.ts";
import { type Waiting, waitingOf } from "../core/stage-words.ts";
import { rolloutText } from "../rollout-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { RolloutInstances } from "./instances.tsx";
import { PastRollouts } from "./past.tsx";
import { RolloutStages } from "./stages.tsx";
import { RolloutSteering } from "./steering.tsx";
import { STATE_TONES } from "./tones.ts";

export default function RolloutTab({ set }: { readonly set: ConfigSet }) {
  const isRunning = set.summary?.rollout !== undefined;
  const path = `${set.path}/rollout`;
  const current = useResource<Rollout>(isRunning ? path : undefined, ["rollouts", "config"]);
  const reload = async () => {
    await Promise.all([set.reload(), current.reload()]);
  };
  const problem = current.problem?.code === "CONFIG_ROLLOUT_NOT_FOUND" ? undefined : current.problem;
  return (
    <>
      {problem && <Problem problem={problem} onRetry={() => void current.reload()} />}
      {!isRunning && <NoRollout set={set} />}
      {isRunning && !current.data && !problem && <Skeleton />}
      {isRunning && current.data && <Current set={set} rollout={current.data} reload={reload} />}
      <PastRollouts set={set} />
    </>
  );
}

function NoRollout({ set }: { readonly set: ConfigSet }) {
  const text = rolloutText();
  return (
    <EmptyState
      icon={Split}
      title={text.none}
      command={cliOf("config", "rollout", "start", set.id, "app.yaml", "./app.yaml", "--percent", "10,50")}
    >
      {text.noneText}
    </EmptyState>
  );
}

interface CurrentProps {
  readonly set: ConfigSet;
  readonly rollout: Rollout;
  readonly reload: () => Promise<void>;
}

function Current({ set, rollout, reload }: CurrentProps) {
  const text = rolloutText();
  const { state, author, startedAt, onFailure, because, by, baseVersion, reason } = rollout;
  const facts: [string, preact.ComponentChildren][] = [];
  const waiting = waitingOf(rollout);
  if (waiting) facts.push([text.waitsFor, waitingWords(waiting)]);
  if (because !== undefined)
    facts.push([text.because, `${because} · ${by === undefined ? text.automatic : text.by(by)}`]);
  return (
    <>
      <Card
        title={
          <span class="config-environment">
            {text.current(rollout.version)} <Badge tone={STATE_TONES[state]}>{text[`state_${state}`]}</Badge>
          </span>
        }
        actions={
          <>
            <CopyAs cli={cliOf("config", "rollout", "status", set.id)} call={{ path: `${set.path}/rollout` }} />
            <RolloutSteering set={set} rollout={rollout} onDone={reload} />
          </>
        }
      >
        <p class="muted">
          <span title={formatTime(startedAt)}>{text.startedBy(author, formatAgo(startedAt))}</span>
          {reason !== "" && <> · {reason}</>} · {text[`onFailure_${onFailure}`]} · {text.backTo(baseVersion)}
        </p>
        <RolloutStages rollout={rollout} />
        {facts.length > 0 && (
          <div role="status">
            <Facts of={facts} />
          </div>
        )}
      </Card>
      <RolloutInstances rollout={rollout} />
    </>
  );
}

/** Names of instances in one sentence. */
const NAMED_MAX = 5;

function waitingWords(waiting: Waiting): string {
  const text = rolloutText();
  if (waiting.kind === "hold") return text.holdOf(waiting.seconds);
  if (waiting.kind === "other") return waiting.words;
  const { missing } = waiting;
  const more = missing.length - NAMED_MAX;
  const names = missing.slice(0, NAMED_MAX).join(", ") + (more > 0 ? text.andMore(more) : "");
  return text.acknowledgementsOf(missing.length, names);
}
