/**
 * Sign-ins of people. Each is a stored token whose secret was discarded, so that people are listed and signed out like every other
 * holder of a token. It has a lease, so that the store forgets it when it ends.
 */
import { encodeJson, type Host, messageOf, randomId, Trigger } from "#base";
import type { Principal } from "#http";
import { commit, type Delete, type Put, type Store } from "#store";
import { DeviceErrors, OidcErrors } from "./api.ts";
import type { SignedInPerson } from "./core/token-sign-in.ts";
import { type OpenedSession, type SignIns, signInsKey } from "./sign-ins.ts";
import { currentRecord, type TokenHolders } from "./token-holder.ts";
import { type TokenRecord, TOKENS_PREFIX } from "./token-record.ts";

/** Random bytes of an id, and of a hash that no secret has. */
const ID_BYTES = 8;
const SHA256_BYTES = 32;
/** Browsers and devices of one person. Another browser signs out the oldest, so that one person cannot fill the store. */
const SIGN_INS_PER_PERSON_MAX = 20;

export interface PersonSignIn {
  readonly seconds: number;
  readonly address: string;
  /** A key that exists from the first use of an answer of the provider on. */
  readonly once: string;
}

export class People {
  readonly #host: Host;
  readonly #store: Store;
  readonly #holders: TokenHolders;
  readonly #signIns: SignIns;
  readonly #grants = new Trigger();

  constructor(host: Host, store: Store, { holders, signIns }: { holders: TokenHolders; signIns: SignIns }) {
    this.#host = host;
    this.#store = store;
    this.#holders = holders;
    this.#signIns = signIns;
  }

  /** Signs in a browser. @throws OIDC_NOT_BOUND, OIDC_STATE_INVALID when `once` was used */
  async signIn(person: SignedInPerson, { seconds, address, once }: PersonSignIn): Promise<OpenedSession> {
    const bound = this.#holders.policiesOf(person);
    if (!bound) throw notBound(person);
    const { id: lease } = await this.#store.grant(seconds);
    const createdAtMs = this.#host.clock.now();
    const id = randomId(this.#host.random, ID_BYTES);
    const record: TokenRecord = {
      name: person.user,
      policies: bound.policies,
      format: 2,
      sha256: randomId(this.#host.random, SHA256_BYTES),
      createdAtMs,
      expiresAtMs: createdAtMs + seconds * 1000,
      signIn: { kind: "browser", method: "oidc", person, lease, address },
    };
    const writes: (Put | Delete)[] = [
      { type: "put", key: once, value: encodeJson(createdAtMs), lease },
      { type: "put", key: `${TOKENS_PREFIX}${id}`, value: encodeJson(record), lease },
      ...this.#oldest(person.user).flatMap((old): Delete[] => removalOf(old)),
    ];
    await commit(this.#store, [{ key: once }], (known) => {
      if (known.has(once)) {
        throw OidcErrors.STATE_INVALID("This answer of the identity provider was used before. Sign in again.");
      }
      return { writes, result: undefined };
    });
    return this.#signIns.open(id, "oidc", address);
  }

  /** Ends the token of a caller that a login made. @throws DEVICE_NOT_A_LOGIN for any other token */
  async endOwn({ name, tokenId = "" }: Principal): Promise<void> {
    if (this.#holders.tokens.get(tokenId)?.signIn === undefined) {
      throw DeviceErrors.NOT_A_LOGIN(
        `The token of "${name}" was issued, and not made by a login. An operator revokes it: posthouse token revoke ${tokenId || "ID"}`,
      );
    }
    await this.#store.txn({ then: removalOf(tokenId) });
    this.#host.log.info({ tokenId, name }, "signed out");
  }

  /** Access calls this when a binding changed or a token is gone, which may have been all that a sign-in was about. */
  changed(): void {
    this.#grants.fire();
  }

  /** Ends sign-ins that grant nothing any more. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#grants.wait(signal);
      if (signal.aborted) return;
      try {
        await this.#sweep();
      } catch (error) {
        // They are refused already. The next change tries again to forget them, and so does their lease.
        this.#host.log.warn({ err: error }, `sign-ins that ended could not be removed: ${messageOf(error)}`);
      }
    }
  }

  /** Sign-ins of people without a binding, and of devices whose token is gone. */
  async #sweep(): Promise<void> {
    const over = [...this.#holders.tokens].filter(
      ([, record]) => record.signIn !== undefined && currentRecord(record, this.#holders) === undefined,
    );
    for (const [id, { name }] of over) {
      // One at a time: they are few, and every member does this.
      await this.#store.txn({ then: removalOf(id) });
      this.#host.log.info({ tokenId: id, name }, "signed out, because nothing grants this sign-in anything any more");
    }
  }

  /** The sign-ins of a person that must end for another one to begin. */
  #oldest(user: string): readonly string[] {
    return [...this.#holders.tokens]
      .filter(([, { signIn }]) => signIn?.person?.user === user)
      .sort(([, a], [, b]) => b.createdAtMs - a.createdAtMs)
      .slice(SIGN_INS_PER_PERSON_MAX - 1)
      .map(([id]) => id);
  }
}

/** A token and its sign-ins, deleted. */
export function removalOf(tokenId: string): Delete[] {
  return [
    { type: "delete", key: `${TOKENS_PREFIX}${tokenId}` },
    { type: "delete", key: signInsKey(tokenId) },
  ];
}

function notBound({ user, groups }: SignedInPerson) {
  const names = groups.length === 0 ? "no groups" : `the groups ${groups.map((group) => `"${group}"`).join(", ")}`;
  return OidcErrors.NOT_BOUND(
    `You are "${user}" with ${names}, and no binding names either. An operator can add one: ` +
      `posthouse binding set "user:${user}" --policy viewer, or one for a group.`,
    { extra: { user, groups } },
  );
}
