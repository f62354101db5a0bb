/**
 * The source that a set follows. While it follows one, other releases are rejected, since the next commit would revert
 * them.
 */
import { decodeJson } from "#base";
import { ConfigErrors, type Provenance, type SetName } from "../api.ts";
import { setId } from "./keys.ts";
import type { KnownEntry } from "./release.ts";

export interface OwnerRecord {
  readonly source: string;
}

/** A party that wants to release a set, and its reason. */
export interface SetWriter {
  readonly source?: Pick<Provenance, "name"> | undefined;
  readonly emergency?: boolean | undefined;
  readonly reason: string;
}

export function ownerOf(entry: KnownEntry | undefined): string | undefined {
  return entry && decodeJson<OwnerRecord>(entry.value).source;
}

/**
 * A set with a source accepts releases of that source, and emergency releases with a reason.
 * @throws CONFIG_SET_OWNED (`extra.source`), CONFIG_EMERGENCY_REASON
 */
export function requireOwner(owner: KnownEntry | undefined, name: SetName, writer: SetWriter): void {
  const source = ownerOf(owner);
  if (source === undefined || source === writer.source?.name) return;
  if (!writer.emergency) {
    throw ConfigErrors.SET_OWNED(
      `"${setId(name)}" follows the source "${source}". Change it there, or detach the source. In an emergency set "emergency": true, with a reason.`,
      { extra: { source } },
    );
  }
  if (writer.reason.trim() === "") {
    throw ConfigErrors.EMERGENCY_REASON(
      "An emergency release of a set that follows a source requires a reason, which is kept with the release.",
      {
        extra: { field: "/reason" },
      },
    );
  }
}
