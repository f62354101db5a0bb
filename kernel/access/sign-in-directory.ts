/** The list of browsers and devices that are signed in, and the end of one of them. */
import type { Host } from "#base";
import type { Store } from "#store";
import { AccessErrors, type SignInSummary } from "./api.ts";
import { type SignIn, sessionNameOf } from "./core/sign-in-list.ts";
import { type AccessAuthor, authorName, type HandOut } from "./hand-out.ts";
import { removalOf } from "./people.ts";
import type { SignIns } from "./sign-ins.ts";
import { currentRecord, type TokenHolders } from "./token-holder.ts";
import { type TokenRecord, tokenLimits } from "./token-record.ts";
import type { TokenUses } from "./token-uses.ts";

/** The second half of the id of a device, which has no session. */
const NO_SESSION = "0".repeat(16);

interface DirectoryParts {
  readonly holders: TokenHolders;
  readonly handOut: HandOut;
  readonly signIns: SignIns;
  readonly uses: TokenUses;
}

/** The caller that reads the list: its session, or its token. */
export interface SignedInCaller {
  readonly sessionId?: string | undefined;
  readonly tokenId?: string | undefined;
}

export class SignInDirectory {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: DirectoryParts;

  constructor(host: Host, store: Store, parts: DirectoryParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
  }

  /** Those whose holder the author may manage, the latest first. */
  list(by: AccessAuthor, caller: SignedInCaller): SignInSummary[] {
    const nowMs = this.#host.clock.now();
    const rows = [...this.#parts.holders.tokens].flatMap(([id, record]) => {
      const current = nowMs < (record.expiresAtMs ?? Infinity) ? currentRecord(record, this.#parts.holders) : undefined;
      if (!current) return [];
      const found = this.#rowsOf(id, current, caller);
      return found.length > 0 && this.#isVisible(by, current) ? found : [];
    });
    return rows.sort((a, b) => ((a.since ?? "") > (b.since ?? "") ? -1 : 1));
  }

  #isVisible(by: AccessAuthor, record: TokenRecord): boolean {
    const { policies } = record;
    return this.#parts.handOut.covers(by, { policies, limits: tokenLimits(record) });
  }

  #rowsOf(tokenId: string, record: TokenRecord, caller: SignedInCaller): SignInSummary[] {
    const { signIns } = this.#parts;
    const { signIn } = record;
    if (signIn?.kind === "device") {
      const { createdAtMs: sinceMs, expiresAtMs } = record;
      const name = signIn.device === undefined ? {} : { device: signIn.device };
      const id = `${tokenId}-${NO_SESSION}`;
      const facts = { sinceMs, expiresAtMs, method: signIn.method, address: signIn.address };
      const isCaller = caller.tokenId === tokenId && caller.sessionId === undefined;
      return [
        { ...this.#row(id, record, facts, this.#parts.uses.lastUse(tokenId)), kind: "device", ...name, isCaller },
      ];
    }
    return signIns.sessionsOf(tokenId, record).map((session) => {
      const id = sessionNameOf(tokenId, session.sha256);
      const facts = { address: signIn?.address, ...session };
      return {
        ...this.#row(id, record, facts, this.#parts.uses.lastUse(id)),
        kind: "browser",
        isCaller: id === caller.sessionId,
      };
    });
  }

  #row(
    id: string,
    { name, policies }: TokenRecord,
    {
      sinceMs,
      expiresAtMs,
      method = "token",
      address,
    }: { readonly [Fact in Exclude<keyof SignIn, "sha256">]?: SignIn[Fact] | undefined },
    use: ReturnType<TokenUses["lastUse"]>,
  ) {
    const at = (ms: number) => new Date(ms).toISOString();
    const from = use?.from ?? address;
    return {
      id,
      tokenId: id.split("-", 1)[0] ?? "",
      name,
      method,
      policies: [...policies],
      ...(sinceMs === undefined ? {} : { since: at(sinceMs) }),
      ...(expiresAtMs === undefined ? {} : { until: at(expiresAtMs) }),
      ...(use === undefined ? {} : { lastUsedAt: use.at }),
      ...(from === undefined ? {} : { address: from }),
    };
  }

  /** @throws ACCESS_SIGN_IN_NOT_FOUND, ACCESS_EXCEEDS_OWN */
  async end(id: string, by: AccessAuthor): Promise<void> {
    const [tokenId = "", session] = id.split("-");
    const record = this.#parts.holders.tokens.get(tokenId);
    if (!record) throw notFound(id);
    const { handOut, signIns, holders } = this.#parts;
    const current = currentRecord(record, holders) ?? record;
    const grant = handOut.grant({ policies: current.policies, limits: tokenLimits(current) });
    handOut.require(by, grant, `the holder of the sign-in ${id}`);
    if (record.signIn !== undefined) {
      // The token is of use only through this sign-in.
      const isNamed = session === NO_SESSION ? record.signIn.kind === "device" : this.#hasSession(id, tokenId, record);
      if (!isNamed) throw notFound(id);
      await this.#store.txn({ then: removalOf(tokenId) });
    } else if (!(await signIns.end(tokenId, id))) throw notFound(id);
    this.#host.log.info({ signIn: id, name: record.name, by: authorName(by) }, "sign-in ended");
  }

  #hasSession(id: string, tokenId: string, record: TokenRecord): boolean {
    return this.#parts.signIns.sessionsOf(tokenId, record).some(({ sha256 }) => sessionNameOf(tokenId, sha256) === id);
  }
}

function notFound(id: string) {
  return AccessErrors.SIGN_IN_NOT_FOUND(
    `Sign-in "${id}" not found: it ended. GET /v1/sign-ins lists those that are open.`,
  );
}
