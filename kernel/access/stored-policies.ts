/** Policies in the store. Their rights change with them, everywhere, within milliseconds. */
import {
  ACTION_NAMES,
  BUILT_IN_POLICIES,
  isBuiltInPolicy,
  type Policy,
  type PolicyBook,
  policyProblem,
} from "#authorization";
import { canonicalJson, decodeJson, encodeJson, type Host } from "#base";
import type { StoredChange } from "#changes";
import { AccessErrors, POLICIES_MAX, type PolicyBody, type PolicySummary } from "./api.ts";
import type { GuardedChanges, StoredAccess } from "./guarded-changes.ts";
import { type AccessAuthor, authorName, type HandOut } from "./hand-out.ts";
import { didYouMean, policyLookup, policyNotFound, requireRevision } from "./policy-lookup.ts";
import { type PolicyNode, type PolicySubjects, usersOfPolicy } from "./policy-users.ts";
import { POLICIES_PREFIX, type StoredPolicy } from "./stored-records.ts";

/** Users that an error names. */
const NAMED_MAX = 5;

export interface PolicyChange {
  readonly by: AccessAuthor;
  /** 0: only if it does not exist. */
  readonly ifRevision?: number | undefined;
}

interface KnownPolicy {
  readonly policy: StoredPolicy;
  readonly revision: number;
}

interface StoredPoliciesOptions {
  readonly book: PolicyBook;
  readonly guarded: GuardedChanges;
  readonly handOut: HandOut;
  /** Tokens, bindings and nodes, as this member knows them. */
  readonly subjects: () => PolicySubjects;
}

export class StoredPolicies {
  readonly #host: Host;
  readonly #options: StoredPoliciesOptions;
  readonly #known = new Map<string, KnownPolicy>();

  constructor(host: Host, options: StoredPoliciesOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Access calls this and the next two for what its view reads. Rights stay the same unless a policy has changed. */
  clear(names: ReadonlySet<string>): void {
    for (const name of this.#known.keys()) if (!names.has(name)) this.delete(name);
  }

  put(name: string, value: Uint8Array, revision: number): void {
    const policy = decodeJson<StoredPolicy>(value);
    const before = this.#known.get(name);
    this.#known.set(name, { policy, revision });
    if (before && canonicalJson(before.policy.rules) === canonicalJson(policy.rules)) return;
    this.#options.book.put({ name, rules: policy.rules, ...described(policy) });
  }

  delete(name: string): void {
    this.#known.delete(name);
    this.#options.book.delete(name);
  }

  get all(): ReadonlyMap<string, Policy> {
    return new Map([...this.#known].map(([name, { policy }]) => [name, policy]));
  }

  /** Built-in policies first, then by name. */
  list(): PolicySummary[] {
    const subjects = this.#options.subjects();
    const stored = [...this.#known.values()].toSorted((a, b) => (a.policy.name < b.policy.name ? -1 : 1));
    return [
      ...BUILT_IN_POLICIES.map((policy) => summaryOf(policy, subjects)),
      ...stored.map(({ policy, revision }) => summaryOf(policy, subjects, { ...policy, revision })),
    ];
  }

  /** @throws ACCESS_POLICY_NOT_FOUND */
  read(name: string): PolicySummary {
    const subjects = this.#options.subjects();
    const builtIn = BUILT_IN_POLICIES.find((policy) => policy.name === name);
    if (builtIn) return summaryOf(builtIn, subjects);
    const known = this.#known.get(name);
    if (known) return summaryOf(known.policy, subjects, { ...known.policy, revision: known.revision });
    throw policyNotFound(name, this.all);
  }

  /**
   * @throws ACCESS_POLICY_BUILT_IN, ACCESS_POLICY_INVALID, ACCESS_TOO_MANY, ACCESS_EXCEEDS_OWN, ACCESS_LOCKOUT, ACCESS_CHANGED
   */
  async set(name: string, body: PolicyBody, { by, ifRevision }: PolicyChange): Promise<PolicySummary> {
    requireOwnName(name);
    const policy: Policy = { name, rules: body.rules, ...described(body) };
    requireEffective(policy);
    const stored: StoredPolicy = { ...policy, changedAtMs: this.#host.clock.now(), changedBy: authorName(by) };
    const key = `${POLICIES_PREFIX}${name}`;
    const { revision } = await this.#options.guarded.commit((state) => {
      requireRevision(state.modRevision(key), ifRevision, `policy ${name}`);
      if (!state.policies.has(name) && state.policies.size >= POLICIES_MAX) {
        throw AccessErrors.TOO_MANY(
          `There are ${POLICIES_MAX} policies, which is the maximum. Delete one that has no user.`,
        );
      }
      this.#requireOwn(by, { state, name, after: policy });
      return {
        writes: [{ type: "put", key, value: encodeJson(stored) }],
        change: this.#change("policy-changed", name, by),
        result: undefined,
      };
    });
    this.#host.log.info({ policy: name, rules: policy.rules.length, by: authorName(by) }, "policy changed");
    return summaryOf(policy, this.#options.subjects(), { ...stored, revision });
  }

  /** @throws ACCESS_POLICY_BUILT_IN, ACCESS_POLICY_NOT_FOUND, ACCESS_POLICY_IN_USE, ACCESS_EXCEEDS_OWN, ACCESS_CHANGED */
  async remove(name: string, { by, ifRevision }: PolicyChange): Promise<void> {
    requireOwnName(name);
    const key = `${POLICIES_PREFIX}${name}`;
    await this.#options.guarded.commit((state) => {
      if (!state.policies.has(name)) throw policyNotFound(name, state.policies);
      requireRevision(state.modRevision(key), ifRevision, `policy ${name}`);
      this.#requireOwn(by, { state, name, after: undefined });
      requireUnused(name, usersOfPolicy(name, { ...state, nodes: this.#nodes() }));
      return { writes: [{ type: "delete", key }], change: this.#change("policy-deleted", name, by), result: undefined };
    });
    this.#host.log.info({ policy: name, by: authorName(by) }, "policy deleted");
  }

  #nodes(): readonly PolicyNode[] {
    return this.#options.subjects().nodes;
  }

  /**
   * The policy, before and after, and each subject that has it must be within the author's own rights. Otherwise a caller with few rights
   * could remove a rule that denies from others.
   */
  #requireOwn(
    by: AccessAuthor,
    { state, name, after }: { readonly state: StoredAccess; readonly name: string; readonly after: Policy | undefined },
  ): void {
    const { handOut } = this.#options;
    if (handOut.isFull(by)) return;
    const before = policyLookup(state.policies);
    const then = policyLookup(new Map([...state.policies, ...(after ? [[name, after] as const] : [])]));
    for (const lookup of [before, then]) {
      handOut.require(by, handOut.grant({ policies: [name] }, lookup), `the holders of ${name}`);
      for (const user of usersOfPolicy(name, { ...state, nodes: this.#nodes() })) {
        handOut.require(by, handOut.grant(user, lookup), user.text);
      }
    }
  }

  #change(kind: "policy-changed" | "policy-deleted", name: string, by: AccessAuthor): StoredChange {
    const at = new Date(this.#host.clock.now()).toISOString();
    return { at, kind, subject: { type: "policy", name }, by: authorName(by) };
  }
}

/** @throws ACCESS_POLICY_BUILT_IN */
function requireOwnName(name: string): void {
  if (!isBuiltInPolicy(name)) return;
  throw AccessErrors.POLICY_BUILT_IN(
    `The policy ${name} is built in and cannot be changed. Copy it under another name: posthouse policy copy ${name} my-${name}`,
  );
}

/** Every rule must have an effect as it is written. @throws ACCESS_POLICY_INVALID */
function requireEffective(policy: Policy): void {
  const problem = policyProblem(policy);
  if (!problem) return;
  const { rule, field, detail, unknownAction } = problem;
  const hint = unknownAction === undefined ? "" : didYouMean(unknownAction, ACTION_NAMES);
  throw AccessErrors.POLICY_INVALID(`Rule ${rule}: ${detail}${hint}`, { extra: { field } });
}

/** @throws ACCESS_POLICY_IN_USE */
function requireUnused(name: string, users: readonly { readonly text: string }[]): void {
  if (users.length === 0) return;
  const named = users.slice(0, NAMED_MAX).map(({ text }) => text);
  const more = users.length > named.length ? `, and ${users.length - named.length} more` : "";
  throw AccessErrors.POLICY_IN_USE(
    `The policy ${name} belongs to ${named.join(", ")}${more}. Replace or revoke those first.`,
    { extra: { usedBy: users.map(({ text }) => text) } },
  );
}

function summaryOf(
  policy: Policy,
  subjects: PolicySubjects,
  stored?: { readonly revision: number; readonly changedAtMs: number; readonly changedBy: string },
): PolicySummary {
  return {
    name: policy.name,
    ...described(policy),
    rules: policy.rules,
    builtIn: stored === undefined,
    ...(stored === undefined
      ? {}
      : {
          revision: stored.revision,
          changedAt: new Date(stored.changedAtMs).toISOString(),
          changedBy: stored.changedBy,
        }),
    usedBy: usersOfPolicy(policy.name, subjects).map(({ text }) => text),
  };
}

function described({ description }: { readonly description?: string | undefined }): { description?: string } {
  return description === undefined ? {} : { description };
}
