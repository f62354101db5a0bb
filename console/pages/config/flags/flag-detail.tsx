/** One flag: its variants, its rules in order, and the rule that decided for the tested context. */
import { ArrowRight } from "lucide";
import type { ConditionDefinition, Evaluated, Evaluation, FlagDefinition, RuleDefinition } from "#flags/core";
import { Badge } from "../../../components/badge.tsx";
import { Icon } from "../../../components/icon.tsx";
import { Card, Facts } from "../../../components/layout.tsx";
import { conditionWords, outcomeWords, valueWords } from "../core/flag-words.ts";
import { flagsText } from "../flags-text.ts";

interface FlagDetailProps {
  readonly name: string;
  readonly flag: FlagDefinition;
  readonly segments: Readonly<Record<string, ConditionDefinition>>;
  readonly evaluation: Evaluation | undefined;
}

export function FlagDetail({ name, flag, segments, evaluation }: FlagDetailProps) {
  const text = flagsText();
  const { description, variants, defaultVariant, rules = [], metadata } = flag;
  const chosen = evaluation && "variant" in evaluation ? evaluation.variant : undefined;
  return (
    <Card title={<code>{name}</code>}>
      {description !== undefined && <p>{description}</p>}
      <Facts
        of={[
          [
            text.variants,
            <ul class="flag-variants">
              {Object.entries(variants).map(([variant, value]) => (
                <li key={variant} class={variant === chosen ? "chosen" : ""}>
                  <code>{variant}</code> <code class="muted">{valueWords(value)}</code>
                  {variant === defaultVariant && <Badge>{text.defaultVariant}</Badge>}
                </li>
              ))}
            </ul>,
          ],
          ...(metadata
            ? ([[text.metadata, <code>{valueWords(metadata)}</code>]] as [string, preact.ComponentChildren][])
            : []),
        ]}
      />
      <h3>{text.rules}</h3>
      <FlagRules flag={flag} evaluation={evaluation} />
      <UsedSegments rules={rules} segments={segments} />
    </Card>
  );
}

function FlagRules({ flag, evaluation }: Pick<FlagDetailProps, "flag" | "evaluation">) {
  const text = flagsText();
  const { rules = [], defaultVariant } = flag;
  const decided = evaluation && "variant" in evaluation ? evaluation : undefined;
  const deciding = decidingRule(rules, decided);
  if (rules.length === 0) return <p class="muted">{text.noRules}</p>;
  return (
    <ol class="flag-rules">
      {rules.map((rule, index) => (
        <li key={index} aria-current={index === deciding ? "true" : undefined}>
          <span class="stage-mark" aria-hidden="true">
            {index + 1}
          </span>
          <span class="what">
            {rule.name !== undefined && <strong>{rule.name}</strong>}
            <code>{rule.when ? conditionWords(rule.when) : text.always}</code>
          </span>
          <Icon of={ArrowRight} size={14} />
          <code>{outcomeWords(rule)}</code>
        </li>
      ))}
      <li aria-current={decided?.reason === "DEFAULT" ? "true" : undefined}>
        <span class="stage-mark" aria-hidden="true" />
        <span class="what muted">{text.otherwise}</span>
        <Icon of={ArrowRight} size={14} />
        <code>{defaultVariant}</code>
      </li>
    </ol>
  );
}

/** An evaluation names its rule. Of rules without names, only a single one is certain. */
function decidingRule(rules: readonly RuleDefinition[], decided: Evaluated | undefined): number | undefined {
  if (!decided || !["TARGETING_MATCH", "SPLIT"].includes(decided.reason)) return undefined;
  const name = decided.metadata["rule"];
  const found = rules.flatMap((rule, index) => (rule.name === name ? [index] : []));
  return found.length === 1 ? found[0] : undefined;
}

interface UsedSegmentsProps {
  readonly rules: NonNullable<FlagDefinition["rules"]>;
  readonly segments: FlagDetailProps["segments"];
}

function UsedSegments({ rules, segments }: UsedSegmentsProps) {
  const text = flagsText();
  const words = rules.map(({ when }) => (when ? conditionWords(when) : "")).join(" ");
  const used = Object.entries(segments).filter(([name]) => words.split(/[\s()]+/).includes(name));
  if (used.length === 0) return null;
  return (
    <>
      <h3>{text.segments}</h3>
      <Facts of={used.map(([name, condition]) => [name, <code>{conditionWords(condition)}</code>] as const)} />
    </>
  );
}
