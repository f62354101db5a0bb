/** Bindings in the store: which policies a person has, by name or by a group of the identity provider. */
import { decodeJson, encodeJson, type Host } from "#base";
import { AccessErrors, BINDINGS_MAX, type Binding, type BindingBody } from "./api.ts";
import type { GuardedChanges, StoredAccess } from "./guarded-changes.ts";
import { type AccessAuthor, authorName, type HandOut } from "./hand-out.ts";
import { didYouMean, policyLookup, requirePolicies, requireRevision } from "./policy-lookup.ts";
import { bindingKey, type StoredBinding } from "./stored-records.ts";
import { tokenLimits } from "./token-record.ts";

interface KnownBinding extends StoredBinding {
  readonly revision: number;
}

export interface BindingChange {
  readonly by: AccessAuthor;
  /** 0: only if it does not exist. */
  readonly ifRevision?: number | undefined;
}

export class StoredBindings {
  readonly #host: Host;
  readonly #guarded: GuardedChanges;
  readonly #handOut: HandOut;
  readonly #changed: () => void;
  readonly #known = new Map<string, KnownBinding>();
  /** By the names of their keys. */
  readonly #subjects = new Map<string, string>();

  /** `changed`: called after each change. */
  constructor(
    host: Host,
    { guarded, handOut, changed }: { guarded: GuardedChanges; handOut: HandOut; changed: () => void },
  ) {
    this.#host = host;
    this.#guarded = guarded;
    this.#handOut = handOut;
    this.#changed = changed;
  }

  /** Access calls this and the next two for what its view reads. */
  clear(): void {
    this.#known.clear();
    this.#subjects.clear();
    this.#changed();
  }

  put(name: string, value: Uint8Array, revision: number): void {
    const binding = decodeJson<StoredBinding>(value);
    this.#subjects.set(name, binding.subject);
    this.#known.set(binding.subject, { ...binding, revision });
    this.#changed();
  }

  delete(name: string): void {
    this.#known.delete(this.#subjects.get(name) ?? "");
    this.#subjects.delete(name);
    this.#changed();
  }

  get all(): ReadonlyMap<string, StoredBinding> {
    return this.#known;
  }

  get(subject: string): StoredBinding | undefined {
    return this.#known.get(subject);
  }

  list(): Binding[] {
    return [...this.#known].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, binding]) => bindingInfo(binding));
  }

  /** @throws ACCESS_POLICY_NOT_FOUND, ACCESS_EXCEEDS_OWN, ACCESS_CHANGED, ACCESS_TOO_MANY */
  async set(subject: string, body: BindingBody, { by, ifRevision }: BindingChange): Promise<Binding> {
    const { policies, ...names } = body;
    const stored: StoredBinding = {
      subject,
      policies,
      limits: tokenLimits(names),
      changedAtMs: this.#host.clock.now(),
      changedBy: authorName(by),
    };
    const key = bindingKey(subject);
    const { revision } = await this.#guarded.commit((state) => {
      const before = state.bindings.get(subject);
      requireRevision(state.modRevision(key), ifRevision, `binding of ${subject}`);
      if (!before && state.bindings.size >= BINDINGS_MAX) {
        throw AccessErrors.TOO_MANY(
          `There are ${BINDINGS_MAX} bindings, which is the maximum. Delete one, or bind a group.`,
        );
      }
      const lookup = policyLookup(state.policies);
      requirePolicies(policies, state.policies);
      this.#requireOwn(by, before, { state, subject });
      this.#handOut.require(by, this.#handOut.grant(stored, lookup), subject);
      return {
        writes: [{ type: "put", key, value: encodeJson(stored) }],
        change: this.#change("binding-changed", subject, { by, to: policies }),
        result: undefined,
      };
    });
    this.#host.log.info({ subject, policies, ...stored.limits, by: authorName(by) }, "binding changed");
    return bindingInfo({ ...stored, revision });
  }

  /** @throws ACCESS_BINDING_NOT_FOUND, ACCESS_EXCEEDS_OWN, ACCESS_CHANGED */
  async remove(subject: string, { by, ifRevision }: BindingChange): Promise<void> {
    const key = bindingKey(subject);
    await this.#guarded.commit((state) => {
      const before = state.bindings.get(subject);
      if (!before) {
        const hint = didYouMean(subject, [...state.bindings.keys()]);
        throw AccessErrors.BINDING_NOT_FOUND(`"${subject}" has no binding.${hint}`);
      }
      requireRevision(state.modRevision(key), ifRevision, `binding of ${subject}`);
      this.#requireOwn(by, before, { state, subject });
      return {
        writes: [{ type: "delete", key }],
        change: this.#change("binding-deleted", subject, { by, from: before.policies }),
        result: undefined,
      };
    });
    this.#host.log.info({ subject, by: authorName(by) }, "binding deleted");
  }

  /** A binding that exists is changed only within the author's own rights; one that denies something, only by an operator. */
  #requireOwn(
    by: AccessAuthor,
    before: StoredBinding | undefined,
    { state, subject }: { readonly state: StoredAccess; readonly subject: string },
  ): void {
    if (!before || this.#handOut.isFull(by)) return;
    const grant = this.#handOut.grant(before, policyLookup(state.policies));
    this.#handOut.require(by, grant, subject);
    if (grant.policies.every(({ rules }) => rules.every(({ effect }) => effect === "allow"))) return;
    throw AccessErrors.EXCEEDS_OWN(
      `The binding of ${subject} has rules that deny, so only a caller with all rights of an operator can change it.`,
    );
  }

  #change(
    kind: "binding-changed" | "binding-deleted",
    name: string,
    { by, from, to }: { by: AccessAuthor; from?: readonly string[]; to?: readonly string[] },
  ) {
    return {
      at: new Date(this.#host.clock.now()).toISOString(),
      kind,
      subject: { type: "binding" as const, name },
      by: authorName(by),
      ...(from === undefined ? {} : { from: from.join(", ") }),
      ...(to === undefined ? {} : { to: to.join(", ") }),
    };
  }
}

function bindingInfo({ subject, policies, limits, revision, changedAtMs, changedBy }: KnownBinding): Binding {
  return {
    subject,
    policies: [...policies],
    ...tokenLimits(limits),
    revision,
    changedAt: new Date(changedAtMs).toISOString(),
    changedBy,
  };
}
