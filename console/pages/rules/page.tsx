/** Rules between services: their sentences, what they mean for observed calls, and what a change would deny before it is released. */
import "./rules.css";
import { Rocket } from "lucide";
import { useSignal } from "@preact/signals";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { PageHeader } from "../../components/layout.tsx";
import { Loaded, Problem, Skeleton } from "../../components/states.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import type { ConfigSource } from "../../data/config-text.ts";
import { useNamespace } from "../../data/location.ts";
import { can } from "../../data/session.ts";
import { CallsCard } from "./calls.tsx";
import { judgedCalls } from "./core.ts";
import { answerPath, ruleDrafts, type RulesCheck, useRulesCheck, useRulesSource, useServiceRules } from "./data.ts";
import { EffectNotice } from "./effect.tsx";
import { RulesCard } from "./list.tsx";
import { ModeCard } from "./mode.tsx";
import { ReleaseDialog, SaveDraftDialog } from "./release.tsx";
import { TestCard } from "./tester.tsx";
import { rulesText } from "./text.ts";

export default function RulesPage() {
  const [namespace] = useNamespace();
  const source = useRulesSource(namespace);
  const draft = ruleDrafts.of(namespace);
  const check = useRulesCheck(draft && { namespace, text: draft.text });
  const dialog = useSignal<"release" | "draft" | undefined>(undefined);
  const close = () => (dialog.value = undefined);
  const isReleasable = draft !== undefined && !check.isRunning && check.answer?.problems.length === 0;
  return (
    <>
      <RulesHeader isReleasable={isReleasable} onRelease={() => (dialog.value = "release")} />
      <Loaded of={source}>
        {(released) => (
          <RulesBody
            key={namespace}
            released={released}
            text={draft?.text ?? released.text}
            check={draft && check}
            onSaveDraft={() => (dialog.value = "draft")}
          />
        )}
      </Loaded>
      {dialog.value === "release" && draft && source.data && (
        <ReleaseDialog source={source.data} draft={draft} onClose={close} onDone={source.reload} />
      )}
      {dialog.value === "draft" && draft && <SaveDraftDialog draft={draft} onClose={close} />}
    </>
  );
}

function RulesHeader(props: { readonly isReleasable: boolean; readonly onRelease: () => void }) {
  const text = rulesText();
  const [namespace] = useNamespace();
  return (
    <PageHeader title={text.title} subtitle={text.subtitle}>
      <CopyAs cli={cliOf("rules", "ls", ...namespaceWords(namespace))} call={{ path: answerPath(namespace) }} />
      <Button
        kind="primary"
        icon={Rocket}
        needs="config:publish"
        isDisabled={!props.isReleasable}
        onClick={props.onRelease}
      >
        {text.release}
      </Button>
    </PageHeader>
  );
}

interface RulesBodyProps {
  readonly released: ConfigSource;
  /** Released, or being written. */
  readonly text: string;
  /** Absent: nothing was changed. */
  readonly check: RulesCheck | undefined;
  readonly onSaveDraft: () => void;
}

function RulesBody({ released, text: value, check, onSaveDraft }: RulesBodyProps) {
  const [namespace] = useNamespace();
  const live = useServiceRules(namespace);
  const drafted = check?.answer?.judged;
  const shown = check ? drafted : live.data;
  // While the text has problems, the rules of the released one are shown.
  const rules = shown ?? live.data;
  const calls = live.data ? judgedCalls(live.data, drafted) : [];
  const isWritable = can("config:draft") && !released.isSecret;
  const change = (text: string) => ruleDrafts.change(namespace, text, released);
  return (
    <>
      {live.problem && <Problem problem={live.problem} onRetry={() => void live.reload()} />}
      {check && <EffectNotice check={check} calls={calls} released={released} onSaveDraft={onSaveDraft} />}
      {!rules && !live.problem && <Skeleton rows={8} />}
      {rules && (
        <>
          <div class="rules-columns">
            <RulesCard
              rules={rules}
              calls={calls}
              source={released}
              text={value}
              check={check}
              onChange={isWritable ? change : undefined}
            />
            <div class="rules-side">
              <ModeCard rules={rules} text={value} onChange={isWritable ? change : undefined} />
              <TestCard rules={rules} text={value} onChange={isWritable ? change : undefined} />
            </div>
          </div>
          <CallsCard calls={calls} rules={rules} live={live.data ?? rules} isChanged={drafted !== undefined} />
        </>
      )}
    </>
  );
}
