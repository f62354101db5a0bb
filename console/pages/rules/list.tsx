/** The rules as sentences: adding one, removing one, and the whole text for everything else. */
import { Ban, CircleCheck, Route, Trash2 } from "lucide";
import { useSignal } from "@preact/signals";
import type { ServiceRulesAnswer, ServiceRuleView } from "#sidecar/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CodeEditor } from "../../components/code-editor.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { showToast } from "../../components/toast.tsx";
import type { ConfigSource } from "../../data/config-text.ts";
import { formatNumber } from "../../text/mod.ts";
import { commonText } from "../../text/common.ts";
import { AddRule } from "./add.tsx";
import { type JudgedCall, requestsByRule, withoutRule } from "./core.ts";
import { RULES_KEY, type RulesCheck } from "./data.ts";
import { rulesText } from "./text.ts";

interface RulesCardProps {
  readonly rules: ServiceRulesAnswer;
  readonly calls: readonly JudgedCall[];
  readonly source: ConfigSource;
  readonly text: string;
  readonly check: RulesCheck | undefined;
  /** Absent: the caller may not change it. */
  readonly onChange: ((text: string) => void) | undefined;
}

export function RulesCard({ rules, calls, source, text: value, check, onChange }: RulesCardProps) {
  const text = rulesText();
  const isText = useSignal(false);
  return (
    <Card
      isFlush
      title={
        <span class="rules-title">
          {text.rules(rules.rules.length)}
          <span class="muted">{text.version(source.version)}</span>
          {check && <Badge tone="accent">{text.changed}</Badge>}
        </span>
      }
      actions={
        <Button isSmall aria-pressed={isText.value} onClick={() => (isText.value = !isText.value)}>
          {isText.value ? text.closeText : text.editText}
        </Button>
      }
    >
      {source.isSecret && <p class="rules-note">{text.secret}</p>}
      {isText.value ? (
        <CodeEditor
          label={RULES_KEY}
          value={value}
          format="yaml"
          problems={(check?.answer?.problems ?? []).map(({ line = 1, column = 1, message }) => ({
            line,
            column,
            message,
          }))}
          {...(onChange ? { onChange } : {})}
        />
      ) : (
        <>
          <DataTable
            label={text.title}
            id="rules-"
            rows={rules.rules}
            keyOf={({ text: sentence, line = 0 }) => `${line} ${sentence}`}
            columns={ruleColumns(calls, onChange && ((rule) => remove(value, rule, onChange)))}
            empty={
              <EmptyState icon={Route} title={text.noRules}>
                {text.noRulesText}
              </EmptyState>
            }
          />
          {onChange && <AddRule text={value} onChange={onChange} />}
        </>
      )}
    </Card>
  );
}

function remove(text: string, { line }: ServiceRuleView, onChange: (text: string) => void): void {
  const next = line === undefined ? undefined : withoutRule(text, line);
  if (next === undefined) showToast(rulesText().cannotEdit, "bad");
  else onChange(next);
}

function ruleColumns(
  calls: readonly JudgedCall[],
  onRemove: ((rule: ServiceRuleView) => void) | undefined,
): readonly TableColumn<ServiceRuleView>[] {
  const text = rulesText();
  const requests = requestsByRule(calls.map((call) => ({ ...call, ...call.then })));
  return [
    {
      id: "effect",
      title: text.effect,
      width: "5rem",
      cell: ({ allow }) => (
        <Badge tone={allow ? "good" : "bad"} icon={allow ? CircleCheck : Ban}>
          {allow ? text.allow : text.deny}
        </Badge>
      ),
      sort: ({ allow }) => (allow ? 1 : 0),
    },
    {
      id: "rule",
      title: text.rule,
      width: "minmax(7rem, 3fr)",
      isName: true,
      cell: ({ from, to, allow, text: sentence }) => (
        <span title={sentence}>
          <span class="mono">{from}</span> <span class="muted">{allow ? text.may : text.mayNot}</span>{" "}
          <span class="mono">{to}</span>
        </span>
      ),
      sort: ({ text: sentence }) => sentence,
    },
    {
      id: "requests",
      title: text.requests,
      width: "7rem",
      isRight: true,
      priority: 2,
      cell: ({ text: sentence }) => {
        const count = requests.get(sentence);
        return count === undefined ? <span class="muted">–</span> : formatNumber(count);
      },
      sort: ({ text: sentence }) => requests.get(sentence) ?? 0,
    },
    ...(onRemove
      ? [
          {
            id: "remove",
            title: commonText().actions,
            isTitleHidden: true,
            width: "2rem",
            isRight: true,
            cell: (rule: ServiceRuleView) => (
              <Button
                kind="quiet"
                isSmall
                icon={Trash2}
                label={text.remove(rule.text)}
                onClick={() => onRemove(rule)}
              />
            ),
          },
        ]
      : []),
  ];
}
