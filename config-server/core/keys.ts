/** Keys in the store: immutable releases by number, one pointer per set to the live one, and everything beside them. */
import type { SetName } from "../api.ts";

const CONFIG_PREFIX = "/config/";
/** The live pointers. Readers of live config watch this prefix. */
export const LIVE_PREFIX = `${CONFIG_PREFIX}live/`;

export function setId({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

export function liveKey(name: SetName): string {
  return `${LIVE_PREFIX}${setId(name)}`;
}

export function releasesPrefix(name: SetName): string {
  return `${CONFIG_PREFIX}releases/${setId(name)}/`;
}

/** Versions are padded, so that the order of keys is the order of releases. */
export function releaseKey(name: SetName, version: number): string {
  return `${releasesPrefix(name)}${String(version).padStart(12, "0")}`;
}

/** The parts of a content too large for one value: named by its hash, so that equal content is stored once. */
export function contentPrefix(name: SetName, hash: string): string {
  return `${CONFIG_PREFIX}contents/${setId(name)}/${hash}/`;
}

export function partKey(name: SetName, hash: string, part: number): string {
  return `${contentPrefix(name, hash)}${String(part).padStart(4, "0")}`;
}

/** Marks a content as part of a release, so that it is kept. */
export function contentUsedKey(name: SetName, hash: string): string {
  return `${CONFIG_PREFIX}used/${setId(name)}/${hash}`;
}

/** Contents that are being published. Entries that stay here are from a publisher that crashed. */
export const STAGED_PREFIX = `${CONFIG_PREFIX}staged/`;

export function stagedKey(name: SetName, hash: string): string {
  return `${STAGED_PREFIX}${setId(name)}/${hash}`;
}

export function parseStagedKey(key: string): { readonly name: SetName; readonly hash: string } {
  const [namespace, app, profile, hash] = key.slice(STAGED_PREFIX.length).split("/") as [
    string,
    string,
    string,
    string,
  ];
  return { name: { namespace, app, profile }, hash };
}

/** Drafts of one set, of all authors. */
export function draftsPrefix(name: SetName): string {
  return `${CONFIG_PREFIX}drafts/${setId(name)}/`;
}

/** Drafts of one author. Names of principals may hold anything. */
export function authorDraftsPrefix(name: SetName, author: string): string {
  return `${draftsPrefix(name)}${encodeURIComponent(author)}/`;
}

export function draftKey(name: SetName, author: string, key: string): string {
  return `${authorDraftsPrefix(name, author)}${key}`;
}

export function proposalsPrefix(name: SetName): string {
  return `${CONFIG_PREFIX}proposals/${setId(name)}/`;
}

export function proposalKey(name: SetName, id: string): string {
  return `${proposalsPrefix(name)}${id}`;
}

/** Wrapped data keys of all secrets. They are stored apart from releases, which never change, so that they can be rewrapped. */
export const SECRETS_PREFIX = `${CONFIG_PREFIX}secrets/`;

export function dataKeyKey(name: SetName, dataKey: string): string {
  return `${SECRETS_PREFIX}${setId(name)}/${dataKey}`;
}

/** The id of the set, and of the data key. */
export function parseDataKeyKey(key: string): { readonly set: string; readonly dataKey: string } {
  const rest = key.slice(SECRETS_PREFIX.length);
  const end = rest.lastIndexOf("/");
  return { set: rest.slice(0, end), dataKey: rest.slice(end + 1) };
}

/** Data keys that a release of a set added, by its version. They are kept as long as the releases: forever. */
export function usedDataKeysPrefix(name: SetName): string {
  return `${CONFIG_PREFIX}secrets-used/${setId(name)}/`;
}

export function usedDataKeysKey(name: SetName, version: number): string {
  return `${usedDataKeysPrefix(name)}${String(version).padStart(12, "0")}`;
}

/** The audit of revealed secrets. */
export const AUDIT_PREFIX = `${CONFIG_PREFIX}audit/`;
/** Milliseconds since 1970 that no clock reaches: the difference to it orders the latest record first. */
const AUDIT_MS_MAX = 9_999_999_999_999;

export function auditKey(atMs: number, id: string): string {
  return `${AUDIT_PREFIX}${String(AUDIT_MS_MAX - atMs).padStart(13, "0")}-${id}`;
}

/** The release that each subscriber runs. */
export const ACKNOWLEDGEMENTS_PREFIX = `${CONFIG_PREFIX}acknowledgements/`;

export function acknowledgementKey(name: SetName, subscriber: string): string {
  return `${ACKNOWLEDGEMENTS_PREFIX}${setId(name)}/${subscriber}`;
}

/** Subscribers that follow a config, by member. */
export const SUBSCRIBERS_PREFIX = `${CONFIG_PREFIX}subscribers/`;

export function subscriberKey(name: SetName, subscriber: string, member: string): string {
  return `${SUBSCRIBERS_PREFIX}${setId(name)}/${subscriber}/${member}`;
}

/** Ended rollouts of a set, by the version that each brought, padded like releases. */
export function rolloutsPrefix(name: SetName): string {
  return `${CONFIG_PREFIX}rollouts/${setId(name)}/`;
}

export function rolloutKey(name: SetName, version: number): string {
  return `${rolloutsPrefix(name)}${String(version).padStart(12, "0")}`;
}

/** The set that `setId` names. */
export function setOf(id: string): SetName {
  const [namespace, app, profile] = id.split("/") as [string, string, string];
  return { namespace, app, profile };
}

/** The rules for the releases of an environment. */
export function rulesKey(namespace: string): string {
  return `${CONFIG_PREFIX}rules/${namespace}`;
}

/** The source that a set follows, by set. */
export const OWNERS_PREFIX = `${CONFIG_PREFIX}owners/`;

export function ownerKey(name: SetName): string {
  return `${OWNERS_PREFIX}${setId(name)}`;
}

/** The progress of sources, by name. */
export const SOURCES_PREFIX = `${CONFIG_PREFIX}sources/`;

export function sourceKey(source: string): string {
  return `${SOURCES_PREFIX}${source}`;
}

/** The member that mirrors a source, under the lease of that member. */
export function mirrorKey(source: string): string {
  return `${CONFIG_PREFIX}mirrors/${source}`;
}

/** The set of a live pointer; undefined for keys that a later version wrote. */
export function parseLiveKey(key: string): SetName | undefined {
  if (!key.startsWith(LIVE_PREFIX)) return undefined;
  const [namespace, app, profile, ...rest] = key.slice(LIVE_PREFIX.length).split("/");
  return namespace && app && profile && rest.length === 0 ? { namespace, app, profile } : undefined;
}
