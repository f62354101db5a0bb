/**
 * The callers of the control API: tokens, the sign-ins that belong to them, policies and bindings. A view follows all of them, so a revoked
 * token or a changed policy takes effect everywhere within milliseconds.
 */
import { timingSafeEqual } from "node:crypto";
import { builtInRights, PolicyBook } from "#authorization";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { ChangeLog } from "#changes";
import { EVERY_NAME, HttpErrors, type Principal } from "#http";
import { keyOfEvent, type StoreEntry, type Store, type StoreEvent, View } from "#store";
import { AccessErrors } from "./api.ts";
import { BindingGrants } from "./binding-grants.ts";
import type { SignedInPerson } from "./core/token-sign-in.ts";
import { GuardedChanges } from "./guarded-changes.ts";
import { HandOut } from "./hand-out.ts";
import { newToken, secretHash } from "./new-token.ts";
import { type AccessNodes, type NewNode, NO_NODES, type PeerIdentity, peerPrincipal } from "./node-principals.ts";
import { People } from "./people.ts";
import { SERVICE_TOKENS_PREFIX, ServiceTokens, type TokenParent } from "./service-tokens.ts";
import { SignInDirectory } from "./sign-in-directory.ts";
import { type IssuedLink, SIGN_INS_PREFIX, SignIns } from "./sign-ins.ts";
import { StoredBindings } from "./stored-bindings.ts";
import { StoredPolicies } from "./stored-policies.ts";
import { BINDINGS_PREFIX, POLICIES_PREFIX } from "./stored-records.ts";
import { type BoundPolicies, currentRecord, type TokenHolders } from "./token-holder.ts";
import {
  ACCESS_PREFIX,
  appsOf,
  CONSOLE_TOKEN_ID,
  isSameGrant,
  tokenPrincipal,
  tokenRecord,
  type TokenRecord,
  TOKENS_PREFIX,
} from "./token-record.ts";
import { TokenUses, USES_PREFIX } from "./token-uses.ts";
import { AT_START, Tokens } from "./tokens.ts";

/** Random bytes of a token of this process. */
const SECRET_BYTES = 32;
/** Tokens remembered as checked: enough for every agent of a large fleet, in a few MiB. */
const CHECKED_MAX = 20_000;
const FORM = /^ph_([0-9a-f]{16})_([0-9a-f]{64})$/;

interface CheckedToken {
  readonly id: string;
  readonly record: TokenRecord;
  /** End of this secret, when the token was rotated since. */
  readonly untilMs?: number;
}

/** A part that holds what the store has under a prefix. */
interface KeyFollower {
  /** Before a listing. `names`: those that it has. */
  clear(names: ReadonlySet<string>): void;
  put(name: string, value: Uint8Array, revision: number): void;
  delete(name: string): void;
}

export class Access {
  /** The policies, and the rights of their combinations. */
  readonly book = new PolicyBook();
  readonly tokens: Tokens;
  readonly policies: StoredPolicies;
  readonly bindings: StoredBindings;
  readonly grants: BindingGrants;
  readonly uses: TokenUses;
  readonly signIns: SignIns;
  readonly people: People;
  readonly signInDirectory: SignInDirectory;
  readonly serviceTokens: ServiceTokens;
  readonly #host: Host;
  readonly #handOut: HandOut;
  readonly #view: View;
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #holders: TokenHolders;
  readonly #internal = new Map<string, Principal>();
  /** Tokens that were checked since the last change of any token, so that each is hashed once and not per request. */
  readonly #checked = new Map<string, CheckedToken>();
  readonly #listeners = new Set<() => void>();
  #nodes: AccessNodes = NO_NODES;

  constructor(host: Host, store: Store) {
    this.#host = host;
    const changes = new ChangeLog(host, store);
    const guarded = new GuardedChanges(host, store, changes);
    const handOut = new HandOut(this.book);
    this.#handOut = handOut;
    const tokens = this.#tokens;
    this.bindings = new StoredBindings(host, { guarded, handOut, changed: () => this.#bindingsChanged() });
    this.grants = new BindingGrants(this.book, (subject) => this.bindings.get(subject));
    this.#holders = { tokens, policiesOf: (person) => this.policiesOf(person) };
    this.signIns = new SignIns(host, store, this.#holders, this.book);
    this.people = new People(host, store, { holders: this.#holders, signIns: this.signIns });
    const subjects = () => ({ tokens, bindings: this.bindings.all, nodes: this.#nodes.list() });
    this.policies = new StoredPolicies(host, { book: this.book, guarded, handOut, subjects });
    // A sign-in is known as long as its token is.
    this.uses = new TokenUses(host, store, (id) => tokens.has(id.split("-", 1)[0] ?? ""));
    const { signIns, uses } = this;
    this.tokens = new Tokens(host, store, { changes, guarded, handOut, signIns, uses, holders: this.#holders });
    this.signInDirectory = new SignInDirectory(host, store, { holders: this.#holders, handOut, signIns, uses });
    this.serviceTokens = new ServiceTokens(host, store, {
      book: this.book,
      isParentCurrent: (parent) => this.#isParentCurrent(parent),
    });
    this.#view = this.#follow(host, store);
  }

  #follow(host: Host, store: Store): View {
    const followers: readonly (readonly [prefix: string, follower: KeyFollower])[] = [
      [POLICIES_PREFIX, this.policies],
      [BINDINGS_PREFIX, this.bindings],
      [TOKENS_PREFIX, this.#tokenFollower()],
      [SIGN_INS_PREFIX, this.signIns],
      [SERVICE_TOKENS_PREFIX, this.serviceTokens],
      [USES_PREFIX, this.uses],
    ];
    const put = ({ key, value, modRevision }: StoreEntry): void => {
      for (const [prefix, follower] of followers) {
        if (key.startsWith(prefix)) follower.put(key.slice(prefix.length), value, modRevision);
      }
    };
    return new View(host, store, {
      name: "access",
      prefix: ACCESS_PREFIX,
      reset: (entries) => {
        for (const [prefix, follower] of followers) {
          const keys = entries.map(({ key }) => key).filter((key) => key.startsWith(prefix));
          follower.clear(new Set(keys.map((key) => key.slice(prefix.length))));
        }
        for (const entry of entries) put(entry);
        this.#notify();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") put(event.entry);
          else {
            for (const [prefix, follower] of followers) {
              if (event.key.startsWith(prefix)) follower.delete(event.key.slice(prefix.length));
            }
          }
        }
        if (events.some(changesCallers)) this.#notify();
      },
    });
  }

  /** Calls the listener after each change of what callers are. Returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #tokenFollower(): KeyFollower {
    return {
      clear: () => {
        this.#tokens.clear();
        this.#checked.clear();
      },
      put: (id, value) => {
        this.#checked.clear();
        this.#tokens.set(id, tokenRecord(decodeJson(value)));
      },
      delete: (id) => {
        this.#checked.clear();
        this.#tokens.delete(id);
        this.people.changed();
      },
    };
  }

  #bindingsChanged(): void {
    this.grants.forget();
    this.people.changed();
  }

  /** The nodes that joined, whose certificates are callers. Without it, certificates of nodes are not accepted. */
  followNodes(nodes: AccessNodes): void {
    this.#nodes = nodes;
  }

  get revision(): number {
    return this.#view.revision;
  }

  /** Follows the store, and writes when tokens were used. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.people.run(signal), this.uses.run(signal)]);
  }

  waitFor(revision: number, signal: AbortSignal): Promise<void> {
    return this.#view.waitFor(revision, signal);
  }

  /** A token for a part of this process. It is not stored, and ends with the process. */
  internalToken({ id, ...rest }: Omit<Principal, "id" | "kind" | "rights"> & { id?: string }): string {
    const principal: Principal = {
      secretApps: [EVERY_NAME],
      ...rest,
      kind: "internal",
      rights: builtInRights(rest.policies),
      id: `internal:${id ?? rest.name}`,
    };
    const token = `phi_${randomId(this.#host.random, SECRET_BYTES)}`;
    this.#internal.set(token, principal);
    return token;
  }

  /** @throws HTTP_TOKEN_INVALID, HTTP_TOKEN_EXPIRED, HTTP_UNAVAILABLE while the tokens are still being read */
  async authenticate(token: string): Promise<Principal> {
    const internal = this.#internal.get(token);
    if (internal) return internal;
    if (this.#view.revision === 0) throw HttpErrors.UNAVAILABLE("Tokens are not loaded yet. Try again shortly.");
    const service = this.serviceTokens.authenticate(token);
    if (service) return service;
    const { id, record, untilMs = Infinity } = this.#checked.get(token) ?? this.#check(token);
    const nowMs = this.#host.clock.now();
    if (nowMs >= untilMs) {
      throw HttpErrors.TOKEN_EXPIRED(
        `The token of "${record.name}" was rotated, and its previous secret ended at ${new Date(untilMs).toISOString()}. Use the new one.`,
      );
    }
    if (nowMs >= (record.expiresAtMs ?? Infinity)) {
      throw HttpErrors.TOKEN_EXPIRED(
        `The token of "${record.name}" expired at ${new Date(record.expiresAtMs ?? 0).toISOString()}. Ask an operator for a new one.`,
      );
    }
    const principal = this.#principalOf(id, record);
    if (!principal) throw HttpErrors.TOKEN_INVALID(`Nothing grants the sign-in of "${record.name}" anything any more.`);
    return untilMs === Infinity
      ? principal
      : { ...principal, expiresAtMs: Math.min(untilMs, principal.expiresAtMs ?? Infinity) };
  }

  /** The caller that a stored token means now; undefined for one that grants nothing any longer. */
  #principalOf(id: string, record: TokenRecord): Principal | undefined {
    const current = currentRecord(record, this.#holders);
    return current && tokenPrincipal(id, current, this.book);
  }

  /** The caller that a token would be, for questions about it. @throws ACCESS_TOKEN_NOT_FOUND */
  principalOfToken(id: string): Principal {
    const record = this.#tokens.get(id);
    const principal = record && this.#principalOf(id, record);
    if (!principal) throw AccessErrors.TOKEN_NOT_FOUND(`Token "${id}" not found.`);
    return principal;
  }

  /** The caller of a verified client certificate; undefined for a workload that is not a caller: a node that was removed, or a member. */
  principalOfPeer(peer: PeerIdentity): Principal | undefined {
    return peerPrincipal(peer, this.#nodes, this.book);
  }

  /** Before others let a node join: it must not have more than the caller. @throws ACCESS_EXCEEDS_OWN */
  requireNodeGrant(by: Principal, { kind, namespaces, apps, services }: NewNode): void {
    const limits = { namespaces, apps: appsOf([kind], apps), services };
    this.#handOut.require(by, this.#handOut.grant({ policies: [kind], limits }), `a new ${kind}`);
  }

  /** The policies that bindings give to a person who signs in by OpenID Connect; undefined: no binding names them or a group of theirs. */
  policiesOf(person: SignedInPerson): BoundPolicies | undefined {
    return this.grants.policiesOf(person);
  }

  /** Whether a caller still has what it had: its token or node, and its rights. Streams check this while they are open. */
  isCurrent(principal: Principal): boolean {
    const { kind, tokenId, expiresAtMs = Infinity } = principal;
    if (this.#host.clock.now() >= expiresAtMs) return false;
    if (kind === "certificate") return this.#isPeerCurrent(principal);
    if (tokenId === undefined) return true;
    const isService = this.serviceTokens.isCurrent(tokenId);
    if (isService !== undefined) return isService;
    const record = this.#tokens.get(tokenId);
    return record !== undefined && isSameGrant(this.#principalOf(tokenId, record), principal);
  }

  /** A service has no record here, so only its certificate counts. */
  #isPeerCurrent(principal: Principal): boolean {
    const { id, name, serial = "", expiresAtMs = Infinity } = principal;
    if (this.#nodes.isRevoked(serial)) return false;
    const kind = id.split(":", 1)[0];
    if (kind !== "agent" && kind !== "gateway") return true;
    return isSameGrant(this.principalOfPeer({ workload: { kind, name }, serial, expiresAtMs }), principal);
  }

  /** Whether the agent of a service token is still accepted: by its token, by its certificate, or as a part of a process. */
  #isParentCurrent({ name, tokenId, serial }: TokenParent): boolean {
    if (serial !== undefined) return this.#nodes.nodeOf("agent", name) !== undefined && !this.#nodes.isRevoked(serial);
    if (tokenId === undefined) return true;
    const record = this.#tokens.get(tokenId);
    const isHeld = record !== undefined && currentRecord(record, this.#holders) !== undefined;
    return isHeld && this.#host.clock.now() < (record.expiresAtMs ?? Infinity);
  }

  /**
   * A link that signs in as the operator "console". Its token is stored, so that operators see and revoke it. The token's secret is
   * discarded, so the token is of use only through links. When it was revoked, the next link makes it again: a user who can start a
   * member has full control anyway.
   */
  async consoleLink(): Promise<IssuedLink> {
    const { record } = newToken(this.#host, { name: "console", policies: ["operator"] });
    const key = `${TOKENS_PREFIX}${CONSOLE_TOKEN_ID}`;
    const isNew = await this.tokens.issueOnce(record, key, [{ type: "put", key, value: encodeJson(record) }]);
    const { name, policies } = record;
    if (isNew) this.#host.log.info({ tokenId: CONSOLE_TOKEN_ID, name, policies, by: AT_START }, "token issued");
    return this.signIns.link(CONSOLE_TOKEN_ID);
  }

  /** @throws HTTP_TOKEN_INVALID */
  #check(token: string): CheckedToken {
    const [, id = "", secret = ""] = FORM.exec(token) ?? [];
    const record = this.#tokens.get(id);
    const sent = secretHash(secret);
    const isOf = (sha256: string) => timingSafeEqual(sent, Buffer.from(sha256, "hex"));
    const isCurrent = record !== undefined && isOf(record.sha256);
    const previous = record?.previous;
    if (!record || !(isCurrent || (previous && isOf(previous.sha256)))) {
      throw HttpErrors.TOKEN_INVALID("Unknown token: it is mistyped, revoked, or belongs to another installation.");
    }
    if (this.#checked.size >= CHECKED_MAX) this.#checked.clear();
    const checked = { id, record, ...(isCurrent || !previous ? {} : { untilMs: previous.untilMs }) };
    this.#checked.set(token, checked);
    return checked;
  }
}

/** The last use of a token changes no caller. Neither does a new service token, and agents take many; none is written twice. */
function changesCallers(event: StoreEvent): boolean {
  const key = keyOfEvent(event);
  return !key.startsWith(USES_PREFIX) && !(event.type === "put" && key.startsWith(SERVICE_TOKENS_PREFIX));
}
