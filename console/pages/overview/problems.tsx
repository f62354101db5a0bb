/** The present problems, each with the changes that came shortly before it; a calm sentence when there are none. */
import { CircleAlert, CircleCheck, CircleX, CornerDownRight } from "lucide";
import type { Change, Problem, ProblemList } from "#timeline/api";
import { Badge } from "../../components/badge.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { SubjectLink } from "../../components/subject.tsx";
import { formatAgo, formatClock, formatTime } from "../../data/time.ts";
import { changePhrase, problemHints, problemTitle } from "../../text/changes.ts";
import { changesBefore } from "./core.ts";
import { overviewText } from "./text.ts";

/** Changes shown below one problem. */
const CAUSES_MAX = 2;

interface ProblemsProps {
  readonly list: ProblemList;
  readonly changes: readonly Change[];
  readonly services: number;
}

export function Problems({ list: { problems, more, at }, changes, services }: ProblemsProps) {
  const text = overviewText();
  if (problems.length === 0) {
    return (
      <section class="calm" aria-label={text.calm}>
        <Icon of={CircleCheck} size={20} />
        <div>
          <h2>{text.calm}</h2>
          <p>{text.calmText(services, formatClock(at))}</p>
        </div>
      </section>
    );
  }
  return (
    <Card isFlush title={text.problems(problems.length + more)}>
      <ol class="list problems">
        {problems.map((problem) => (
          <ProblemRow key={problem.id} problem={problem} causes={changesBefore(problem, changes, CAUSES_MAX)} />
        ))}
      </ol>
      {more > 0 && <p class="more muted">{text.moreProblems(more)}</p>}
    </Card>
  );
}

function ProblemRow({ problem, causes }: { readonly problem: Problem; readonly causes: readonly Change[] }) {
  const text = overviewText();
  const { severity, kind, subject, since } = problem;
  const title = problemTitle(kind);
  return (
    <li>
      <span class="severity">
        <Badge tone={severity === "critical" ? "bad" : "warn"} icon={severity === "critical" ? CircleX : CircleAlert}>
          {text[severity]}
        </Badge>
      </span>
      <div class="what">
        <SubjectLink of={subject} />
        {title !== undefined && ` · ${title}`}
        <p class="muted">{problemHints()[kind] ?? problem.text}</p>
        {causes.length > 0 && (
          <div class="causes">
            <span class="muted">{text.before}</span>
            <ul>
              {causes.map((change) => (
                <li key={change.id}>
                  <Icon of={CornerDownRight} size={12} />
                  <SubjectLink of={change.subject} /> {changePhrase(change)}
                  <time class="muted" dateTime={change.at} title={formatTime(change.at)}>
                    {formatClock(change.at)}
                  </time>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
      {since === undefined ? (
        <span class="when">{text.sinceUnknown}</span>
      ) : (
        <time class="when" dateTime={since} title={formatTime(since)}>
          {formatAgo(since)}
        </time>
      )}
    </li>
  );
}
