/** Releases as the store has them. This member's view may lag behind a release that another member has just answered. */
import { decodeJson } from "#base";
import type { Store } from "#store";
import { ConfigErrors, type Release, type ReleaseList, type SetName } from "../api.ts";
import { liveKey, setId } from "../core/keys.ts";
import { BASE_PROFILE } from "../core/resolve.ts";
import type { LiveRecord } from "../core/rollout.ts";
import { shownItems, type StoredItems, type StoredRelease } from "../core/sealed.ts";
import type { Contents } from "./contents.ts";
import { type HistoryPage, readHistory } from "./history.ts";

export class StoredReleases {
  readonly #store: Store;
  readonly #contents: Contents;

  constructor(store: Store, contents: Contents) {
    this.#store = store;
    this.#contents = contents;
  }

  /** A release with its secrets encrypted. @throws CONFIG_RELEASE_NOT_FOUND */
  async read(name: SetName, version: number): Promise<StoredRelease> {
    const release = await this.#contents.read(name, version);
    if (!release) throw ConfigErrors.RELEASE_NOT_FOUND(`"${setId(name)}" has no release ${version}.`);
    return release;
  }

  /** A release with its secrets masked. @throws CONFIG_RELEASE_NOT_FOUND */
  async readMasked(name: SetName, version: number): Promise<Release> {
    const release = await this.read(name, version);
    return { ...release, items: shownItems(release.items) };
  }

  /** A page of the history, newest first: releases below `before`. @throws CONFIG_SET_NOT_FOUND */
  async history(name: SetName, page: HistoryPage): Promise<ReleaseList> {
    const live = await this.liveRecord(name);
    if (!live) throw nothingReleased(name);
    return readHistory(this.#store, { name, live }, page);
  }

  /** The live pointer. */
  async liveRecord(name: SetName): Promise<LiveRecord | undefined> {
    const { entries } = await this.#store.range({ key: liveKey(name) });
    return entries[0] && decodeJson<LiveRecord>(entries[0].value);
  }

  /** 0 when nothing is released. */
  async liveVersion(name: SetName): Promise<number> {
    return (await this.liveRecord(name))?.version ?? 0;
  }

  /** Version 0 without items when nothing is released. */
  async liveItems(name: SetName): Promise<{ readonly version: number; readonly items: StoredItems }> {
    const version = await this.liveVersion(name);
    return { version, items: await this.itemsOf(name, version) };
  }

  /** Version 0 has no items. @throws CONFIG_RELEASE_NOT_FOUND */
  async itemsOf(name: SetName, version: number): Promise<StoredItems> {
    return version === 0 ? {} : (await this.read(name, version)).items;
  }
}

export function nothingReleased(name: SetName) {
  return ConfigErrors.SET_NOT_FOUND(`Nothing is released for "${setId(name)}" or for its profile "${BASE_PROFILE}".`);
}
