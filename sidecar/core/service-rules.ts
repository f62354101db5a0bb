/**
 * The rules of a namespace: which service may call which. Reads the text of `service-rules.yaml`, with the line of each problem. Pure.
 *
 * ```yaml
 * strict: false      # true: a destination without rules is closed
 * reportOnly: false  # true: denials are counted, and nothing is closed
 * rules:
 *   - orders may call stock
 *   - shop/web may not call payments
 *   - gateway may call *
 *   - { from: orders, to: payments, allow: true }
 * ```
 */
import { readYaml, type Located, type ReadYaml } from "#base/yaml";
import type { ReleaseCheck, ReleaseProblem } from "#config-server/api";
import { NO_RULES, type ServiceRule, type ServiceRules } from "./rule-book.ts";

export { NO_RULES, RuleBook, type RuleDecision, type ServiceRule, type ServiceRules } from "./rule-book.ts";

/** Where the rules of a namespace are kept: key `service-rules.yaml` of this set in that namespace. */
export const RULES_SET = { app: "posthouse", profile: "default" } as const;
export const RULES_KEY = "service-rules.yaml";

/** Rules of one namespace. A person reads them; a hundred services that all call each other have fewer. */
const RULES_MAX = 10_000;
/** Problems reported for one text. */
const PROBLEMS_MAX = 20;

export type ReadServiceRules =
  | { readonly rules: ServiceRules; readonly problems?: undefined }
  | { readonly rules?: undefined; readonly problems: readonly Located[] };

/** Labels of RFC 1123, as in SPIFFE ids: only a service with such a name has an identity. */
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const PARTY = new RegExp(`^(?:(${LABEL})/)?(${LABEL}|\\*)$`);
const SENTENCE = /^(\S+) +may( +not)? +call +(\S+)$/;
const FIELDS = ["strict", "reportOnly", "rules"] as const;
const RULE_FIELDS = ["from", "to", "allow"] as const;

/** Reads YAML 1.2, which includes JSON. `namespace`: the one that the file belongs to. */
export function readServiceRules(text: string, namespace: string): ReadServiceRules {
  const read = readYaml(text, 0);
  if (read.problems) return { problems: read.problems };
  return new RulesReader(read, namespace).result();
}

class RulesReader {
  readonly #read: ReadYaml & { readonly problems?: undefined };
  readonly #namespace: string;
  readonly #problems: Located[] = [];

  constructor(read: ReadYaml & { readonly problems?: undefined }, namespace: string) {
    this.#read = read;
    this.#namespace = namespace;
  }

  result(): ReadServiceRules {
    const rules = this.#rules(this.#read.tree ?? {});
    return this.#problems.length > 0 ? { problems: this.#problems.slice(0, PROBLEMS_MAX) } : { rules };
  }

  #problem(pointer: string, message: string): void {
    this.#problems.push({ pointer, message, ...this.#read.place(pointer) });
  }

  #rules(tree: unknown): ServiceRules {
    if (!isRecord(tree)) {
      this.#problem("", `Expected the fields ${FIELDS.join(", ")}.`);
      return NO_RULES;
    }
    this.#refuseUnknown(tree, FIELDS, "");
    const { rules = [] } = tree;
    const isList = Array.isArray(rules) && rules.length <= RULES_MAX;
    if (!isList) this.#problem("/rules", `rules must be a list of at most ${RULES_MAX} rules.`);
    return {
      strict: this.#flag(tree, "strict"),
      reportOnly: this.#flag(tree, "reportOnly"),
      rules: isList ? rules.flatMap((rule: unknown, index) => this.#rule(rule, `/rules/${index}`) ?? []) : [],
    };
  }

  #refuseUnknown(value: Record<string, unknown>, fields: readonly string[], at: string): void {
    const field = Object.keys(value).find((one) => !fields.includes(one));
    if (field !== undefined)
      this.#problem(`${at}/${field}`, `Unknown field "${field}". The fields are ${fields.join(", ")}.`);
  }

  #flag(tree: Record<string, unknown>, field: "strict" | "reportOnly"): boolean {
    const { [field]: value = false } = tree;
    if (typeof value === "boolean") return value;
    this.#problem(`/${field}`, `${field} must be true or false, not ${JSON.stringify(value)}.`);
    return false;
  }

  #rule(rule: unknown, at: string): ServiceRule | undefined {
    if (typeof rule === "string") return this.#sentence(rule.trim(), at);
    if (!isRecord(rule)) {
      this.#problem(at, 'A rule must be a sentence such as "orders may call stock", or have from, to and allow.');
      return undefined;
    }
    this.#refuseUnknown(rule, RULE_FIELDS, at);
    const { from, to, allow } = rule;
    if (typeof from !== "string" || typeof to !== "string" || typeof allow !== "boolean") {
      this.#problem(at, "A rule needs from and to, which are names of services, and allow, which is true or false.");
      return undefined;
    }
    return this.#made(from, to, allow, at);
  }

  #sentence(text: string, at: string): ServiceRule | undefined {
    const [, from, not, to] = SENTENCE.exec(text) ?? [];
    if (from !== undefined && to !== undefined) return this.#made(from, to, not === undefined, at);
    const shown = JSON.stringify(text.slice(0, 80));
    this.#problem(at, `${shown} is not a valid rule. Write "FROM may call TO" or "FROM may not call TO".`);
    return undefined;
  }

  #made(from: string, to: string, allow: boolean, at: string): ServiceRule | undefined {
    const caller = PARTY.exec(from);
    const callee = PARTY.exec(to);
    for (const [name, party] of [
      [from, caller],
      [to, callee],
    ] as const) {
      if (!party) this.#problem(at, `"${name.slice(0, 80)}" is not a valid service. Use a name, NAMESPACE/NAME, or *.`);
    }
    if (!caller || !callee) return undefined;
    const [, namespace = this.#namespace, name = ""] = callee;
    if (namespace !== this.#namespace) {
      this.#problem(
        at,
        `The rules of namespace ${this.#namespace} cannot open ${to}. Put this rule into ${RULES_KEY} of ${namespace}.`,
      );
      return undefined;
    }
    return {
      from: { namespace: caller[1], name: caller[2] as string },
      to: name,
      allow,
      text: `${from} may ${allow ? "" : "not "}call ${to}`,
      line: this.#read.place(at).line,
    };
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** For the config server: rejects rules that every sidecar would reject. */
export const serviceRulesReleaseCheck: ReleaseCheck = ({ namespace, app }, items) => {
  const item = app === RULES_SET.app && Object.hasOwn(items, RULES_KEY) ? items[RULES_KEY] : undefined;
  if (!item) return [];
  if (item.format !== "yaml" && item.format !== "json")
    return [{ key: RULES_KEY, pointer: "", message: `The format must be yaml or json, not ${item.format}.` }];
  const { problems = [] } = readServiceRules(item.value, namespace);
  return problems.map((problem): ReleaseProblem => ({ key: RULES_KEY, ...problem }));
};
