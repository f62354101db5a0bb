/**
 * The compiled rules of a namespace. A decision takes the same few lookups for any number of rules. Deny wins. A destination is open
 * until a rule is about it, unless the rules are strict; from then on only what a rule allows gets through. Pure.
 */
import type { WorkloadName } from "#identity/core";

/** A service of a namespace, the gateways, or everyone. */
export interface RuleParty {
  /** Undefined: the namespace of the file, or any namespace for `*`. */
  readonly namespace: string | undefined;
  /** `*`: every service. With no namespace, on the left side: every caller with an identity. */
  readonly name: string;
}

export interface ServiceRule {
  readonly from: RuleParty;
  /** A service of the file's namespace, or `*`. */
  readonly to: string;
  readonly allow: boolean;
  /** As a sentence: `orders may call stock`. */
  readonly text: string;
  readonly line?: number | undefined;
}

export interface ServiceRules {
  /** Whether a destination without rules is closed. */
  readonly strict: boolean;
  /** Whether a denial is only counted. */
  readonly reportOnly: boolean;
  readonly rules: readonly ServiceRule[];
}

/** The rules of a namespace without a file: every destination is open. */
export const NO_RULES: ServiceRules = { strict: false, reportOnly: false, rules: [] };

export interface RuleDecision {
  readonly allowed: boolean;
  /** The rule that decided; absent: no rule is about this pair. */
  readonly rule?: ServiceRule | undefined;
  /** One sentence for people, with the rule or what would open the destination. */
  readonly explanation: string;
  /** Denied, but the rules only report: the connection is let through and counted. */
  readonly reportOnly: boolean;
}

/** The gateways, on the left side of a rule. A service with this name is written with its namespace. */
const GATEWAY = "gateway";

export class RuleBook {
  readonly rules: ServiceRules;
  readonly #namespace: string;
  readonly #allowed: ReadonlyMap<string, ServiceRule>;
  readonly #denied: ReadonlyMap<string, ServiceRule>;
  /** How many rules are about a destination; `*`: about each of them. */
  readonly #about = new Map<string, number>();

  /** `namespace`: the one of the rules and of the destinations. */
  constructor(namespace: string, rules: ServiceRules) {
    this.rules = rules;
    this.#namespace = namespace;
    this.#allowed = this.#indexed(true);
    this.#denied = this.#indexed(false);
    for (const { to } of rules.rules) this.#about.set(to, (this.#about.get(to) ?? 0) + 1);
  }

  #indexed(allow: boolean): Map<string, ServiceRule> {
    const index = new Map<string, ServiceRule>();
    for (const rule of this.rules.rules) {
      if (rule.allow !== allow) continue;
      const key = `${this.#keyOf(rule)}>${rule.to}`;
      // The first one is shown as the reason.
      if (!index.has(key)) index.set(key, rule);
    }
    return index;
  }

  #keyOf({ from: { namespace, name } }: ServiceRule): string {
    if (namespace === undefined && (name === "*" || name === GATEWAY)) return name;
    return `${namespace ?? this.#namespace}/${name}`;
  }

  decide(caller: WorkloadName, service: string): RuleDecision {
    const keys = callerKeys(caller);
    const denied = lookUp(this.#denied, keys, service);
    const allowed = denied ? undefined : lookUp(this.#allowed, keys, service);
    const about = (this.#about.get(service) ?? 0) + (this.#about.get("*") ?? 0);
    const isAllowed = !denied && (allowed !== undefined || (about === 0 && !this.rules.strict));
    const rule = denied ?? allowed;
    return {
      allowed: isAllowed,
      ...(rule ? { rule } : {}),
      explanation: rule ? explainRule(rule) : this.#explain(caller, service, about),
      reportOnly: !isAllowed && this.rules.reportOnly,
    };
  }

  #explain(caller: WorkloadName, service: string, about: number): string {
    if (about === 0 && !this.rules.strict) return `no rule is about ${service}, and the rules are not strict`;
    const name = this.#shown(caller);
    const remedy = `to allow it, add "${name} may call ${service}"`;
    if (about === 0) return `no rule is about ${service}, and the rules are strict; ${remedy}`;
    const count = about === 1 ? "1 rule is" : `${about} rules are`;
    return `${count} about ${service}, and none allows ${name}; ${remedy}`;
  }

  #shown(caller: WorkloadName): string {
    if (caller.kind !== "service") return caller.kind === "gateway" ? GATEWAY : "*";
    return caller.namespace === this.#namespace && caller.name !== GATEWAY
      ? caller.name
      : `${caller.namespace}/${caller.name}`;
  }
}

function explainRule({ text, line }: ServiceRule): string {
  return line === undefined ? `rule "${text}"` : `rule "${text}" in line ${line}`;
}

function callerKeys(caller: WorkloadName): readonly string[] {
  if (caller.kind === "service") return [`${caller.namespace}/${caller.name}`, `${caller.namespace}/*`, "*"];
  return caller.kind === "gateway" ? [GATEWAY, "*"] : ["*"];
}

function lookUp(
  index: ReadonlyMap<string, ServiceRule>,
  keys: readonly string[],
  service: string,
): ServiceRule | undefined {
  if (index.size === 0) return undefined;
  for (const key of keys) {
    const rule = index.get(`${key}>${service}`) ?? index.get(`${key}>*`);
    if (rule) return rule;
  }
  return undefined;
}
