/** A verdict as a badge, and its reason in the reader's language. */
import { Ban, CircleCheck, TriangleAlert } from "lucide";
import type { RuleVerdict, ServiceRulesAnswer } from "#sidecar/api";
import { Badge } from "../../components/badge.tsx";
import { rulesText } from "./text.ts";

export function VerdictBadge({ of: { allowed, reportOnly } }: { readonly of: RuleVerdict }) {
  const text = rulesText();
  if (allowed) {
    return (
      <Badge tone="good" icon={CircleCheck}>
        {text.allowed}
      </Badge>
    );
  }
  return reportOnly ? (
    <Badge tone="warn" icon={TriangleAlert}>
      {text.reported}
    </Badge>
  ) : (
    <Badge tone="bad" icon={Ban}>
      {text.denied}
    </Badge>
  );
}

/** The rule that decides, or why there is none. */
export function reasonOf({ allowed, rule }: RuleVerdict, to: string, { rules }: Pick<ServiceRulesAnswer, "rules">) {
  const text = rulesText();
  if (rule !== undefined) return text.whyRule(rule);
  if (allowed) return text.whyOpen;
  return rules.some((one) => one.to === to || one.to === "*") ? text.whyNone : text.whyStrict;
}
