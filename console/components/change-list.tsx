/** Changes of the timeline as a list, newest first. */
import { Activity, Boxes, CircleMinus, CirclePlus, FileText, KeyRound, Repeat, Server, Undo2, Waypoints } from "lucide";
import type { Change } from "#timeline/api";
import { formatAgo, formatTime } from "../data/time.ts";
import { changePhrase } from "../text/changes.ts";
import type { ChartMark } from "./chart-core.ts";
import { Icon, type IconNode } from "./icon.tsx";
import { SubjectLink, subjectName } from "./subject.tsx";

type ChangeTone = "good" | "warn" | "bad" | "accent" | "idle" | "moving";

const HEALTH_TONES: Readonly<Record<string, ChangeTone>> = { passing: "good", warning: "warn", critical: "bad" };

/** Whether something got worse or was made by people; everything else is quiet. */
export function changeTone({ kind, to }: Change): ChangeTone {
  if (kind === "instance-health") return HEALTH_TONES[to ?? ""] ?? "idle";
  if (kind === "rollout-paused") return "warn";
  if (kind === "rollout-rolled-back" || kind === "member-left" || kind === "gateway-left") return "bad";
  if (kind.startsWith("config-") || kind.startsWith("rollout-")) return "accent";
  return kind === "instance-lifecycle" ? "moving" : "idle";
}

function changeIcon({ kind }: Change): IconNode {
  if (kind === "instance-health") return Activity;
  if (kind === "instance-lifecycle") return Repeat;
  if (kind === "instance-registered") return CirclePlus;
  if (kind === "instance-gone") return CircleMinus;
  if (kind === "config-rolled-back" || kind === "rollout-rolled-back") return Undo2;
  if (kind.startsWith("config-") || kind.startsWith("rollout-")) return FileText;
  if (kind.startsWith("gateway-")) return Waypoints;
  if (kind.startsWith("member-")) return Server;
  return kind.startsWith("token-") ? KeyRound : Boxes;
}

/** The change as a mark in a chart. */
export function changeMark(change: Change): ChartMark {
  const tone = changeTone(change);
  return {
    at: Date.parse(change.at),
    label: `${subjectName(change.subject)}: ${changePhrase(change)}`,
    tone: tone === "bad" || tone === "warn" ? tone : tone === "accent" ? "accent" : "idle",
  };
}

interface ChangeListProps {
  readonly changes: readonly Change[];
  /** Left out on the page of the subject itself. */
  readonly hasSubject?: boolean;
}

export function ChangeList({ changes, hasSubject = true }: ChangeListProps) {
  return (
    <ol class="list changes">
      {changes.map((change) => (
        <li key={change.id}>
          <Icon of={changeIcon(change)} size={14} class={`tone ${changeTone(change)}`} />
          <span class="what">
            {(hasSubject || change.subject.instance !== undefined) && <SubjectLink of={change.subject} />}{" "}
            {changePhrase(change)}
            {change.check !== undefined && <span class="tag mono">{change.check}</span>}
            <ChangeReason change={change} />
          </span>
          <time class="when" dateTime={change.at} title={formatTime(change.at)}>
            {formatAgo(change.at)}
          </time>
        </li>
      ))}
    </ol>
  );
}

function ChangeReason({ change: { by, reason } }: { readonly change: Change }) {
  const words = [by, reason].filter((word) => word !== undefined && word !== "");
  if (words.length === 0) return null;
  return <span class="why">{words.join(" · ")}</span>;
}
