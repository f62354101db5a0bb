/** What happens with one call, observed or not, by the rules as they are written now. */
import { useSignal } from "@preact/signals";
import type { ServiceRulesAnswer } from "#sidecar/api";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { TextField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { Problem } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { useNamespace } from "../../data/location.ts";
import { useServiceNames } from "./add.tsx";
import { isTestable, sentenceOf, withRule } from "./core.ts";
import { useRulesCheck } from "./data.ts";
import { rulesText } from "./text.ts";
import { reasonOf, VerdictBadge } from "./verdict.tsx";

interface TestCardProps {
  readonly rules: ServiceRulesAnswer;
  readonly text: string;
  readonly onChange: ((text: string) => void) | undefined;
}

export function TestCard({ rules, text: value, onChange }: TestCardProps) {
  const text = rulesText();
  const [namespace] = useNamespace();
  const from = useSignal("");
  const to = useSignal("");
  const names = useServiceNames();
  const call = { from: from.value, to: to.value };
  const isReady = isTestable(call.from, call.to);
  const check = useRulesCheck(isReady ? { namespace, text: value, ...call } : undefined);
  const tested = isReady ? check.answer?.judged?.tested : undefined;
  const missing = { ...call, allow: true };
  const next = tested && !tested.allowed && tested.rule === undefined ? withRule(value, missing) : undefined;
  return (
    <Card
      title={text.test}
      actions={
        <CopyAs
          cli={cliOf("rules", "test", call.from || "FROM", call.to || "TO", ...namespaceWords(namespace))}
          call={{ path: pathOf`/v1/service-rules?namespace=${namespace}&from=${call.from}&to=${call.to}` }}
        />
      }
    >
      <div class="rules-pair">
        <TextField
          label={text.from}
          isMono
          value={call.from}
          suggestions={["gateway", ...names]}
          onInput={(name) => (from.value = name.trim())}
        />
        <TextField
          label={text.to}
          isMono
          value={call.to}
          suggestions={names}
          onInput={(name) => (to.value = name.trim())}
        />
      </div>
      <p class="muted">{text.testHint}</p>
      {check.problem && <Problem problem={check.problem} />}
      <div aria-live="polite" class="rules-tested">
        {tested && (
          <>
            <VerdictBadge of={tested} />
            <p>
              {tested.rule === undefined || tested.line === undefined
                ? reasonOf(tested, call.to, rules)
                : text.testRule(tested.rule, tested.line)}
            </p>
            {next !== undefined && <p class="muted">{text.addThis(sentenceOf(missing))}</p>}
            {next !== undefined && onChange && (
              <Button isSmall onClick={() => onChange(next)}>
                {text.addIt}
              </Button>
            )}
          </>
        )}
        {isReady && check.answer && check.answer.problems.length > 0 && (
          <p class="muted">{text.problems(check.answer.problems.length)}</p>
        )}
      </div>
    </Card>
  );
}
