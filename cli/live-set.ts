/** The live release of a set, and a new one that replaces only that: the way to change several keys, or a key that was read before. */
import type { ControlCalls } from "#client/light";
import type { Items, Publish, Published, SetName } from "#config-server/api";
import { setText } from "./set-name.ts";
import { CliErrors } from "./errors.ts";

export interface LiveSet {
  /** 0: nothing is released. */
  readonly version: number;
  /** Secrets are masked, and a mask in a release leaves the secret unchanged. */
  readonly items: Items;
}

export async function liveSet(client: ControlCalls, set: SetName): Promise<LiveSet> {
  // The list has live versions only. The newest release of the history may be that of a rollout.
  const { sets } = await client.config.sets(set.namespace);
  const version = sets.find(({ app, profile }) => app === set.app && profile === set.profile)?.version ?? 0;
  return version === 0 ? { version, items: {} } : { version, items: (await client.config.release(set, version)).items };
}

/** A value as an item, in the format that the key's extension gives. */
export async function itemOf(key: string, bytes: Uint8Array, secret?: boolean): Promise<Items[string]> {
  const { formatOf } = await import("#config-server/api");
  const format = formatOf(key);
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
    format === "binary" ? "base64" : "utf8",
  );
  return { format, value, ...(secret === undefined ? {} : { secret }) };
}

/** Releases the live items with some of them replaced. @throws CLI_CONFLICT when `cas` is not the live version */
export async function releaseChanged(
  client: ControlCalls,
  set: SetName,
  change: Omit<Publish, "items" | "expectedVersion"> & { readonly items: Items; readonly cas?: number | undefined },
): Promise<Published> {
  const { items, cas, ...rest } = change;
  const live = await liveSet(client, set);
  if (cas !== undefined && cas !== live.version) {
    throw CliErrors.CONFLICT(`${setText(set)} has version ${live.version}, but --cas is ${cas}. Read it again.`);
  }
  return client.config.publish(set, { ...rest, items: { ...live.items, ...items }, expectedVersion: live.version });
}
