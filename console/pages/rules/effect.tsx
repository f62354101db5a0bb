/** What the text that is being written would change for observed calls, and what to do with it. */
import { CircleCheck, TriangleAlert, Undo2 } from "lucide";
import { Button } from "../../components/button.tsx";
import { Icon } from "../../components/icon.tsx";
import { Problem } from "../../components/states.tsx";
import type { ConfigSource } from "../../data/config-text.ts";
import { formatNumber } from "../../text/mod.ts";
import { effectOf, type JudgedCall } from "./core.ts";
import { ruleDrafts, type RulesCheck } from "./data.ts";
import { rulesText } from "./text.ts";

interface EffectNoticeProps {
  readonly check: RulesCheck;
  readonly calls: readonly JudgedCall[];
  readonly released: ConfigSource;
  readonly onSaveDraft: () => void;
}

/** Calls that the notice names. */
const NAMED_MAX = 3;

export function EffectNotice({ check, calls, released, onSaveDraft }: EffectNoticeProps) {
  const text = rulesText();
  const { answer, problem, isRunning } = check;
  const isStale = ruleDrafts.current.value?.base.version !== released.version;
  const problems = answer?.problems ?? [];
  const isBad = problems.length > 0 || effectOf(calls).closed.length > 0;
  return (
    <section class={`rules-effect ${isBad ? "bad" : ""}`} aria-label={text.effectTitle} aria-live="polite">
      <Icon of={isBad ? TriangleAlert : CircleCheck} />
      <div class="what">
        <h2>{text.effectTitle}</h2>
        {problem && <Problem problem={problem} />}
        {isStale && <p>{text.stale}</p>}
        {problems.length > 0 ? (
          <ul>
            {problems.map(({ line, pointer, message }) => (
              <li key={`${line} ${pointer}`}>
                {line === undefined ? "" : `${text.line} ${line}: `}
                {message}
              </li>
            ))}
          </ul>
        ) : answer ? (
          <Effects calls={calls} />
        ) : (
          <p>{isRunning ? text.checking : ""}</p>
        )}
      </div>
      <div class="actions">
        <Button needs="config:draft" isDisabled={problems.length > 0} onClick={onSaveDraft}>
          {text.saveDraft}
        </Button>
        <Button icon={Undo2} onClick={() => (ruleDrafts.current.value = undefined)}>
          {text.discard}
        </Button>
      </div>
    </section>
  );
}

function Effects({ calls }: { readonly calls: readonly JudgedCall[] }) {
  const text = rulesText();
  const { closed, opened, reported } = effectOf(calls);
  if (closed.length + opened.length + reported.length === 0) return <p>{text.nothing}</p>;
  const requests = closed.reduce((sum, call) => sum + call.requests, 0);
  return (
    <>
      {closed.length > 0 && (
        <p>
          <b>{text.closes(closed.length, text.requestCount(requests))}</b> <Named calls={closed} />
        </p>
      )}
      {reported.length > 0 && (
        <p>
          {text.reports(reported.length)} <Named calls={reported} />
        </p>
      )}
      {opened.length > 0 && (
        <p>
          {text.opens(opened.length)} <Named calls={opened} />
        </p>
      )}
    </>
  );
}

function Named({ calls }: { readonly calls: readonly JudgedCall[] }) {
  const more = calls.length - NAMED_MAX;
  return (
    <span class="mono">
      {calls
        .slice(0, NAMED_MAX)
        .map(({ from, to }) => `${from} → ${to}`)
        .join(", ")}
      {more > 0 && ` +${formatNumber(more)}`}
    </span>
  );
}
