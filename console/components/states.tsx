/** What a page shows when there is nothing, something failed, or data is on its way. */
import { RefreshCw, TriangleAlert } from "lucide";
import type { ComponentChildren } from "preact";
import type { ApiProblem } from "../data/api.ts";
import { commonText } from "../text/common.ts";
import { problemText } from "../text/problems.ts";
import { Button } from "./button.tsx";
import { CommandBlock } from "./copy.tsx";
import { Icon, type IconNode } from "./icon.tsx";

interface EmptyStateProps {
  readonly icon: IconNode;
  readonly title: string;
  /** What would be here, in one or two sentences. */
  readonly children: ComponentChildren;
  /** A command that can be pasted, and changes this state. */
  readonly command?: string;
  readonly action?: ComponentChildren;
}

export function EmptyState({ icon, title, children, command, action }: EmptyStateProps) {
  return (
    <div class="empty">
      <span class="art">
        <Icon of={icon} size={22} />
      </span>
      <h2>{title}</h2>
      <p>{children}</p>
      {action}
      {command !== undefined && <CommandBlock command={command} />}
    </div>
  );
}

interface ProblemProps {
  readonly problem: ApiProblem;
  readonly onRetry?: (() => void) | undefined;
}

export function Problem({ problem, onRetry }: ProblemProps) {
  const text = commonText();
  return (
    <div class="problem" role="alert">
      <Icon of={TriangleAlert} />
      <div>
        {problemText(problem)}
        <div class="code">
          <span class="mono">{problem.code}</span>
          {problem.status > 0 && (
            <>
              {" · "}
              <a href={`/errors/${problem.code}`} target="_blank" rel="noreferrer">
                {text.errorReference}
              </a>
            </>
          )}
        </div>
      </div>
      {onRetry && (
        <Button isSmall icon={RefreshCw} onClick={onRetry}>
          {text.retry}
        </Button>
      )}
    </div>
  );
}

/** Gray bars in the place of rows. */
export function Skeleton({ rows = 5 }: { readonly rows?: number }) {
  return (
    <div style={{ display: "grid", gap: "12px", padding: "16px" }} role="status" aria-label={commonText().loading}>
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} class="skeleton" style={{ height: "14px", width: `${90 - ((index * 17) % 45)}%` }} />
      ))}
    </div>
  );
}

interface LoadedProps<Data> {
  readonly of: {
    readonly data: Data | undefined;
    readonly problem: ApiProblem | undefined;
    readonly reload: () => Promise<void>;
  };
  readonly rows?: number;
  readonly children: (data: Data) => ComponentChildren;
}

/** The three states of a resource: on its way, failed, there. A failed reload keeps the older data below its problem. */
export function Loaded<Data>({ of: { data, problem, reload }, rows = 5, children }: LoadedProps<Data>) {
  return (
    <>
      {problem && <Problem problem={problem} onRetry={() => void reload()} />}
      {data === undefined ? !problem && <Skeleton rows={rows} /> : children(data)}
    </>
  );
}
