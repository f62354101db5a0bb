/** Changes as the store keeps them before a release: secrets encrypted, size limited. */
import { encodeJson } from "#base";
import { ConfigErrors, PROPOSAL_BYTES_MAX, type SetName } from "../api.ts";
import { itemsOf, type StoredChanges, type StoredDraft, type StoredProposal } from "../core/change.ts";
import type { SealedItems } from "../core/sealed.ts";
import type { Secrets } from "../secrets/secrets.ts";

/** Encrypts the secrets of changes. A mask becomes the secret of `standing` that it represents. */
export async function sealedChanges(
  secrets: Secrets,
  { name, changes, standing }: { name: SetName; changes: StoredChanges; standing: SealedItems },
): Promise<StoredChanges> {
  const taken = await secrets.take(name, itemsOf(changes), { standing, draft: true });
  return { ...changes, ...(await taken.seal()) };
}

/** @throws CONFIG_RELEASE_TOO_LARGE */
export function encodeChange(record: StoredDraft | StoredProposal, what: string): Uint8Array {
  const bytes = encodeJson(record);
  if (bytes.length <= PROPOSAL_BYTES_MAX) return bytes;
  throw ConfigErrors.RELEASE_TOO_LARGE(
    `${what} is ${bytes.length} bytes; at most ${PROPOSAL_BYTES_MAX} are allowed. Propose fewer keys at a time, or release a value of this size without a proposal.`,
    { extra: { bytes: bytes.length, bytesMax: PROPOSAL_BYTES_MAX } },
  );
}
