/** One time axis for problems and changes: what began when, and what had changed before. */
import type { Change, Problem } from "#timeline/api";
import { changeTone } from "../../components/change-list.tsx";
import { Card } from "../../components/layout.tsx";
import { subjectHref, subjectName } from "../../components/subject.tsx";
import { formatClock, now } from "../../data/time.ts";
import { changePhrase, problemTitle } from "../../text/changes.ts";
import { locale } from "../../text/mod.ts";
import { changeGroup, type ChangeGroup } from "./changes.tsx";
import { spanWithin } from "./core.ts";
import { overviewText } from "./text.ts";

const HOUR_MS = 3_600_000;
/** Labels below the axis, both ends included. */
const TICKS = 5;
const LANES: readonly (readonly [ChangeGroup, "laneReleases" | "laneInstances" | "laneOthers"])[] = [
  ["releases", "laneReleases"],
  ["instances", "laneInstances"],
  ["others", "laneOthers"],
];

interface TimelineProps {
  readonly problems: readonly Problem[];
  readonly changes: readonly Change[];
  readonly hours: number;
}

export function Timeline({ problems, changes, hours }: TimelineProps) {
  const text = overviewText();
  // Whole seconds would move every mark each second.
  const to = Math.ceil(now.value / 10_000) * 10_000;
  const axis = { from: to - hours * HOUR_MS, to };
  const inside = changes.filter(({ at }) => Date.parse(at) >= axis.from);
  return (
    <Card title={text.timeline}>
      <p class="visually-hidden">{text.timelineLabel(problems.length, inside.length, hours)}</p>
      {/* The lists say the same, so screen readers and the keyboard pass over the drawing. */}
      <div class="timeline" aria-hidden="true">
        <span class="lane-name">{text.laneProblems}</span>
        <div class="lane">
          {problems.map((problem) => (
            <ProblemBar key={problem.id} problem={problem} axis={axis} />
          ))}
        </div>
        {LANES.map(([group, name]) => (
          <>
            <span class="lane-name">{text[name]}</span>
            <div class="lane">
              {inside
                .filter((change) => changeGroup(change) === group)
                .map((change) => (
                  <a
                    key={change.id}
                    class={`dot tone ${changeTone(change)}`}
                    href={subjectHref(change.subject)}
                    tabIndex={-1}
                    style={{ left: `${((Date.parse(change.at) - axis.from) / (axis.to - axis.from)) * 100}%` }}
                    title={`${formatClock(change.at)}\n${subjectName(change.subject)}: ${changePhrase(change)}`}
                  />
                ))}
            </div>
          </>
        ))}
        <span />
        <div class="axis">
          {Array.from({ length: TICKS }, (_, index) => (
            <span key={index}>{tickTime(axis.from + ((axis.to - axis.from) * index) / (TICKS - 1))}</span>
          ))}
        </div>
      </div>
    </Card>
  );
}

function tickTime(at: number): string {
  return new Intl.DateTimeFormat(locale.value, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(at);
}

interface ProblemBarProps {
  readonly problem: Problem;
  readonly axis: { readonly from: number; readonly to: number };
}

function ProblemBar({ problem: { since, severity, subject, kind, text }, axis }: ProblemBarProps) {
  const span = since === undefined ? undefined : spanWithin(Date.parse(since), axis.to, axis);
  if (!span || since === undefined) return null;
  return (
    <a
      class={`bar ${severity}`}
      href={subjectHref(subject)}
      tabIndex={-1}
      style={{ left: `${span.left * 100}%`, width: `${span.width * 100}%` }}
      title={`${formatClock(since)}\n${subjectName(subject)}: ${problemTitle(kind) ?? text}`}
    />
  );
}
