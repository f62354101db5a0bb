/** Drafts: changes of single keys that their author has not proposed yet. */
import { decodeJson, type Host, own } from "#base";
import { commit, type Store } from "#store";
import { ConfigErrors, DRAFTS_MAX, type Draft, type DraftRequest, type SetName } from "../api.ts";
import { draft, draftedItem, itemsOf, shownDraft, type StoredDraft } from "../core/change.ts";
import { authorDraftsPrefix, draftKey, draftsPrefix, setId } from "../core/keys.ts";
import { sealedOf } from "../core/sealed.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { encodeChange, sealedChanges } from "./stored-changes.ts";

export class Drafts {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
  }

  /**
   * Encrypts a secret before it is stored. A mask represents the author's draft of the key, or else for the live value.
   * @throws CONFIG_DRAFT_INVALID, CONFIG_DRAFTS_FULL, CONFIG_RELEASE_TOO_LARGE, CONFIG_SECRET_MASKED,
   *   CONFIG_SECRETS_UNCONFIGURED
   */
  async save(name: SetName, key: string, request: DraftRequest, author: string): Promise<Draft> {
    const given = draftedItem(key, request);
    const live = await this.#config.releases.liveItems(name);
    const liveVersion = live.version;
    const drafts = given ? await this.stored(name, author) : [];
    const current = { ...live.items, ...itemsOf(Object.fromEntries(drafts.map((one) => [one.key, one.item]))) };
    const changes = { [key]: given };
    const sealed = await sealedChanges(this.#config.secrets, { name, changes, standing: sealedOf(current) });
    const item = own(sealed, key) ?? null;
    const at = draftKey(name, author, key);
    const prefix = authorDraftsPrefix(name, author);
    const { result } = await commit(this.#store, [{ prefix }, { key: at }], (known) => {
      const previous = known.get(at);
      if (!previous && known.size >= DRAFTS_MAX) {
        throw ConfigErrors.DRAFTS_FULL(
          `"${author}" already has ${DRAFTS_MAX} drafts of "${setId(name)}", which is the limit. Propose or discard some.`,
        );
      }
      const nowMs = this.#host.clock.now();
      const result = draft(previous && decodeJson<StoredDraft>(previous.value), {
        key,
        author,
        item,
        liveVersion,
        nowMs,
      });
      return { writes: [{ type: "put", key: at, value: encodeChange(result, `The draft of "${key}"`) }], result };
    });
    return shownDraft(result);
  }

  /** @throws CONFIG_DRAFT_NOT_FOUND */
  async discard(name: SetName, key: string, author: string): Promise<void> {
    const at = draftKey(name, author, key);
    await commit(this.#store, [{ key: at }], (known) => {
      if (!known.has(at)) throw ConfigErrors.DRAFT_NOT_FOUND(`"${author}" has no draft of "${key}".`);
      return { writes: [{ type: "delete", key: at }], result: undefined };
    });
  }

  /** Drafts of one author, or of all, with secrets masked. */
  async list(name: SetName, author?: string): Promise<Draft[]> {
    return (await this.stored(name, author)).map(shownDraft);
  }

  /** Drafts of one author, or of all, with secrets encrypted. */
  async stored(name: SetName, author?: string): Promise<StoredDraft[]> {
    const prefix = author === undefined ? draftsPrefix(name) : authorDraftsPrefix(name, author);
    const { entries } = await this.#store.range({ prefix });
    return entries.map(({ value }) => decodeJson<StoredDraft>(value));
  }
}
