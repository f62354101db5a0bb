/** The verdict of a namespace's rules on the calls that were observed. Pure. */
import type { WorkloadName } from "#identity/core";
import { RULE_CALLS_MAX, type RuleVerdict, type ServiceRulesAnswer } from "../api.ts";
import { RuleBook, type RuleDecision, type ServiceRules } from "./rule-book.ts";

/** A call to a service of the namespace. */
export interface SeenCall {
  /** Absent: a gateway. */
  readonly caller?: { readonly namespace: string; readonly name: string };
  readonly to: string;
  readonly requests: number;
}

/** The gateways, as rules name them. */
const GATEWAY = "gateway";

interface Question {
  readonly namespace: string;
  readonly calls: readonly SeenCall[];
  /** A call to test, which need not have been observed. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export function judgeCalls(rules: ServiceRules, { namespace, calls, from, to }: Question): ServiceRulesAnswer {
  const book = new RuleBook(namespace, rules);
  const busiest = [...calls].sort((one, other) => other.requests - one.requests);
  return {
    namespace,
    strict: rules.strict,
    reportOnly: rules.reportOnly,
    rules: rules.rules.map(({ text, to: callee, allow, line, from: { namespace: within, name } }) => ({
      text,
      from: within === undefined ? name : `${within}/${name}`,
      to: callee,
      allow,
      ...(line === undefined ? {} : { line }),
    })),
    calls: busiest.slice(0, RULE_CALLS_MAX).map(({ caller, to: callee, requests }) => ({
      from: shownCaller(caller, namespace),
      to: callee,
      requests,
      ...verdictOf(book.decide(workloadOf(caller), callee)),
    })),
    omitted: Math.max(0, calls.length - RULE_CALLS_MAX),
    ...(from === undefined || to === undefined
      ? {}
      : { tested: verdictOf(book.decide(workloadOf(callerIn(from, namespace)), to)) }),
  };
}

function workloadOf(caller: SeenCall["caller"]): WorkloadName {
  return caller ? { kind: "service", ...caller } : { kind: "gateway", name: GATEWAY };
}

/** A service that is named as the gateways are keeps its namespace, as in a rule. */
function shownCaller(caller: SeenCall["caller"], namespace: string): string {
  if (!caller) return GATEWAY;
  return caller.namespace === namespace && caller.name !== GATEWAY ? caller.name : `${caller.namespace}/${caller.name}`;
}

function callerIn(text: string, namespace: string): SeenCall["caller"] {
  if (text === GATEWAY) return undefined;
  const [within, name] = text.split("/");
  return name === undefined ? { namespace, name: text } : { namespace: within ?? namespace, name };
}

function verdictOf({ allowed, reportOnly, rule, explanation }: RuleDecision): RuleVerdict {
  return {
    allowed,
    reportOnly,
    ...(rule ? { rule: rule.text } : {}),
    ...(rule?.line === undefined ? {} : { line: rule.line }),
    why: explanation,
  };
}
