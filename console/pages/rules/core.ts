/** Edits of the text of service rules that leave every other character as it is, and what a text changes for calls. Pure. */
import type { ObservedCall, RuleVerdict, ServiceRulesAnswer } from "#sidecar/api";

export interface NewRule {
  readonly from: string;
  readonly to: string;
  readonly allow: boolean;
}

/** As the server has them in its contract. */
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const CALLER = new RegExp(`^(?:${LABEL}/)?(?:${LABEL}|\\*)$`);
const DESTINATION = new RegExp(`^(?:${LABEL}|\\*)$`);
const TESTED_CALLER = new RegExp(`^(?:${LABEL}/)?${LABEL}$`);

export const isCaller = (name: string) => CALLER.test(name);
export const isDestination = (name: string) => DESTINATION.test(name);
/** A test is about one call, so it names no `*`. */
export const isTestable = (from: string, to: string) => TESTED_CALLER.test(from) && DESTINATION.test(to) && to !== "*";

export function sentenceOf({ from, to, allow }: NewRule): string {
  return `${from} may ${allow ? "" : "not "}call ${to}`;
}

/** A `*` at the beginning would be an alias of YAML. */
function itemOf(rule: NewRule): string {
  const sentence = sentenceOf(rule);
  return `- ${sentence.startsWith("*") ? JSON.stringify(sentence) : sentence}`;
}

/** undefined: the text has a form that only its author can extend, such as a list in one line, or JSON. */
export function withRule(text: string, rule: NewRule): string | undefined {
  if (/^\s*[{[]/.test(text)) return undefined;
  const lines = text.split("\n");
  const at = lines.findIndex((line) => /^rules\s*:/.test(line));
  if (at < 0) return `${text.trimEnd()}${text.trim() === "" ? "" : "\n"}rules:\n  ${itemOf(rule)}\n`;
  const rest = (lines[at] ?? "")
    .replace(/^rules\s*:/, "")
    .replace(/(^|\s)#.*$/, "")
    .trim();
  if (rest === "[]") {
    const head = (lines[at] ?? "").replace("[]", "").trimEnd();
    return [...lines.slice(0, at), head, `  ${itemOf(rule)}`, ...lines.slice(at + 1)].join("\n");
  }
  if (rest !== "") return undefined;
  const end = endOfBlock(lines, at);
  const first = lines.slice(at + 1, end).find((line) => /^\s*-\s/.test(line));
  const indent = first === undefined ? "  " : (/^\s*/.exec(first)?.[0] ?? "");
  return [...lines.slice(0, end), `${indent}${itemOf(rule)}`, ...lines.slice(end)].join("\n");
}

/** The line after the last one of the list. Comments and blank lines at its end belong to what follows. */
function endOfBlock(lines: readonly string[], at: number): number {
  let end = at + 1;
  for (let index = at + 1; index < lines.length; index++) {
    const line = lines[index] ?? "";
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    if (!/^(\s|-(\s|$))/.test(line)) break;
    end = index + 1;
  }
  return end;
}

/** Removes the rule in a line. undefined: the rule has several lines, or shares its line. */
export function withoutRule(text: string, line: number): string | undefined {
  const lines = text.split("\n");
  const indent = /^(\s*)-\s+[^[\]|>]*$/.exec(lines[line - 1] ?? "")?.[1];
  if (indent === undefined) return undefined;
  const next = lines[line] ?? "";
  const isContinued = next.trim() !== "" && /^\s*/.exec(next)?.[0].length !== indent.length && /^\s+[^-#\s]/.test(next);
  if (isContinued) return undefined;
  const rest = lines.toSpliced(line - 1, 1);
  const at = rest.findIndex((one) => /^rules\s*:\s*(#.*)?$/.test(one));
  // A list without items would be empty, which is not a list for YAML.
  if (at >= 0 && endOfBlock(rest, at) === at + 1) rest[at] = (rest[at] ?? "").replace(/^rules\s*:/, "rules: []");
  return rest.join("\n");
}

/** Sets a switch of the text. undefined: the text has a form that only its author can change. */
export function withFlag(text: string, flag: "strict" | "reportOnly", isOn: boolean): string | undefined {
  if (/^\s*[{[]/.test(text)) return undefined;
  const line = new RegExp(`^${flag}\\s*:[^\\n]*$`, "m");
  const known = line.exec(text)?.[0];
  if (known === undefined) return isOn ? beforeFirstKey(text, `${flag}: true`) : text;
  const changed = /^([^:]*:\s*)(?:true|false)(\s*(?:#.*)?)$/.exec(known);
  return changed ? text.replace(line, `${changed[1]}${isOn}${changed[2]}`) : undefined;
}

/** Comments at the beginning of a text stay there. */
function beforeFirstKey(text: string, added: string): string {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => line.trim() !== "" && !line.startsWith("#"));
  if (at < 0) return `${text.trimEnd()}${text.trim() === "" ? "" : "\n"}${added}\n`;
  return [...lines.slice(0, at), added, ...lines.slice(at)].join("\n");
}

/** A call with the verdict of the released rules, and that of the changed ones. */
export interface JudgedCall extends ObservedCall {
  /** Absent: the text is as released. */
  readonly then: RuleVerdict | undefined;
}

/** Whether a connection gets through. */
export const passes = ({ allowed, reportOnly }: RuleVerdict) => allowed || reportOnly;

export function judgedCalls(
  released: Pick<ServiceRulesAnswer, "calls">,
  drafted: Pick<ServiceRulesAnswer, "calls"> | undefined,
): readonly JudgedCall[] {
  const keyOf = ({ from, to }: ObservedCall) => `${from}>${to}`;
  const after = new Map((drafted?.calls ?? []).map((call) => [keyOf(call), call]));
  return released.calls.map((call) => ({ ...call, then: after.get(keyOf(call)) }));
}

export interface RulesEffect {
  /** Calls that get through now, and would not. */
  readonly closed: readonly JudgedCall[];
  /** Calls that are closed now, and would get through. */
  readonly opened: readonly JudgedCall[];
  /** Calls that would be reported as denied, and get through. */
  readonly reported: readonly JudgedCall[];
}

export function effectOf(calls: readonly JudgedCall[]): RulesEffect {
  return {
    closed: calls.filter((call) => call.then && passes(call) && !passes(call.then)),
    opened: calls.filter((call) => call.then && !passes(call) && passes(call.then)),
    reported: calls.filter(({ then }) => then?.reportOnly),
  };
}

/** Requests of the last hour that each rule decides, by the rule's sentence. */
export function requestsByRule(calls: readonly ObservedCall[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { rule, requests } of calls) if (rule !== undefined) sums.set(rule, (sums.get(rule) ?? 0) + requests);
  return sums;
}

export const CALL_FILTERS = ["all", "denied", "changed"] as const;
export type CallFilter = (typeof CALL_FILTERS)[number];

export function matchesCall(call: JudgedCall, filter: CallFilter, words: string): boolean {
  const verdict = call.then ?? call;
  if (filter === "denied" && verdict.allowed) return false;
  if (filter === "changed" && (!call.then || call.then.allowed === call.allowed)) return false;
  const wanted = words.trim().toLowerCase();
  return call.from.includes(wanted) || call.to.includes(wanted);
}
