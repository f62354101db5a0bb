/**
 * Which source a set follows. While it does, others are told to change it there: what they released here, the next commit
 * would take back.
 */
import { decodeJson } from "#base";
import { ConfigErrors, type Provenance, type SetName } from "../api.ts";
import { setId } from "./keys.ts";
import type { KnownEntry } from "./release.ts";

export interface OwnerRecord {
  readonly source: string;
}

export function ownerOf(entry: KnownEntry | undefined): string | undefined {
  return entry && decodeJson<OwnerRecord>(entry.value).source;
}

/**
 * Whether this writer may release the set: its source, anybody when it has none, or in an emergency that says why.
 * @throws CONFIG_SET_OWNED (`extra.source`), CONFIG_EMERGENCY_REASON
 */
export function requireOwner(
  owner: KnownEntry | undefined,
  name: SetName,
  writer: {
    readonly source?: Pick<Provenance, "name"> | undefined;
    readonly emergency?: boolean | undefined;
    readonly reason: string;
  },
): void {
  const source = ownerOf(owner);
  if (source === undefined || source === writer.source?.name) return;
  if (!writer.emergency) {
    throw ConfigErrors.SET_OWNED(
      `"${setId(name)}" follows the source "${source}". Change it there, or detach the source; in an emergency say so, with a reason.`,
      { extra: { source } },
    );
  }
  if (writer.reason.trim() === "") {
    throw ConfigErrors.EMERGENCY_REASON("Say why it cannot wait for its source: it is kept with the release.", {
      extra: { field: "/reason" },
    });
  }
}
