/** The present problems, each with the changes that came shortly before it; a calm sentence when there are none. */
import { CircleAlert, CircleCheck, CircleX, CornerDownRight } from "lucide";
import type { Change, Problem, ProblemList } from "#timeline/api";
import { Badge } from "../../components/badge.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { subjectHref, SubjectLink } from "../../components/subject.tsx";
import { formatAgo, formatClock, formatTime } from "../../data/time.ts";
import { changePhrase, problemHints, problemTitle } from "../../text/changes.ts";
import { changesBefore, groupProblems, type ProblemGroup } from "./core.ts";
import { overviewText } from "./text.ts";

/** Changes shown below one problem. */
const CAUSES_MAX = 2;
/** Failing instances shown below one problem; the service's page has all. */
const PARTS_MAX = 3;

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
  const groups = groupProblems(problems);
  return (
    <Card isFlush title={text.problems(groups.length + more)}>
      <ol class="list problems">
        {groups.map((group) => (
          <ProblemRow key={group.problem.id} group={group} causes={changesBefore(group.problem, changes, CAUSES_MAX)} />
        ))}
      </ol>
      {more > 0 && <p class="more muted">{text.moreProblems(more)}</p>}
    </Card>
  );
}

interface ProblemRowProps {
  readonly group: ProblemGroup;
  readonly causes: readonly Change[];
}

function ProblemRow({ group: { problem, parts }, causes }: ProblemRowProps) {
  const text = overviewText();
  const { severity, kind, subject, since } = problem;
  const title = problemTitle(kind);
  const hint = problemHints()[kind];
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
        {hint !== undefined && <p class="muted">{hint}</p>}
        {/* The server's words name what the hint cannot know: versions, checks, outputs. */}
        <p class="muted" lang="en">
          {problem.text}
        </p>
        <ProblemParts parts={parts} />
        {causes.length > 0 && <ProblemCauses causes={causes} />}
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

/** The failing instances, in the words of the server, which contain the output of their checks. */
function ProblemParts({ parts }: { readonly parts: readonly Problem[] }) {
  const rest = parts.length - PARTS_MAX;
  return (
    <ul class="problem-parts">
      {parts.slice(0, PARTS_MAX).map((part) => (
        <li key={part.id}>
          <a class="subject" href={subjectHref(part.subject)}>
            {part.subject.instance}
          </a>{" "}
          <span class="muted">{part.text}</span>
        </li>
      ))}
      {rest > 0 && <li class="muted">{overviewText().moreInstances(rest)}</li>}
    </ul>
  );
}

function ProblemCauses({ causes }: { readonly causes: readonly Change[] }) {
  return (
    <div class="causes">
      <span class="muted">{overviewText().before}</span>
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
  );
}
