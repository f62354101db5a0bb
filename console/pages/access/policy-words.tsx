/** A policy as sentences: what each rule allows or denies, and on which resources. */
import { Ban, CircleCheck } from "lucide";
import type { PolicyRule } from "#authorization/api";
import { Badge } from "../../components/badge.tsx";
import { actionText } from "./action-text.ts";
import { actionsOf, RESOURCE_FIELDS } from "./actions.ts";
import { viewsText } from "./text-views.ts";

interface PolicyWordsProps {
  readonly rules: readonly PolicyRule[];
  /** Number of the rule that decided, from 1. */
  readonly marked?: number | undefined;
}

export function PolicyWords({ rules, marked }: PolicyWordsProps) {
  return (
    <ol class="policy-rules">
      {rules.map((rule, index) => (
        <li key={index} class={index + 1 === marked ? "marked" : ""} aria-current={index + 1 === marked || undefined}>
          <RuleWords rule={rule} number={index + 1} />
        </li>
      ))}
    </ol>
  );
}

interface RuleWordsProps {
  readonly rule: PolicyRule;
  /** Absent: the rule is in no policy. */
  readonly number?: number;
}

export function RuleWords({ rule: { effect, actions, on }, number }: RuleWordsProps) {
  const text = viewsText();
  const isAllow = effect === "allow";
  return (
    <>
      <div class="actions">
        {number !== undefined && <span class="count">{number}</span>}
        <Badge tone={isAllow ? "good" : "bad"} icon={isAllow ? CircleCheck : Ban}>
          {isAllow ? text.allow : text.deny}
        </Badge>
      </div>
      <ul>
        {actions.map((glob) => (
          <li key={glob}>
            <span class="mono">{glob}</span> <span class="muted">{meaningOf(glob)}</span>
          </li>
        ))}
      </ul>
      <p class="muted">
        {on === undefined ? (
          text.everything
        ) : (
          <>
            {text.onlyOn}{" "}
            {RESOURCE_FIELDS.flatMap((field) => {
              const values = on[field];
              return values === undefined
                ? []
                : [
                    <span key={field} class="tag">
                      {text[`field_${field}`]}: <span class="mono">{values.join(", ")}</span>
                    </span>,
                    " ",
                  ];
            })}
          </>
        )}
      </p>
    </>
  );
}

/** The meaning of one action. A glob matches several, whose names follow. */
function meaningOf(glob: string): string {
  const found = actionsOf(glob);
  const [only] = found;
  if (only === undefined) return "";
  return found.length === 1 && only === glob ? actionText()[only] : found.join(", ");
}
