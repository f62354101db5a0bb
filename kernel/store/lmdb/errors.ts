/** Failures of the data folder, as errors of the store. */
import { messageOf } from "#base";
import { StoreErrors } from "../types.ts";

/** EFBIG, ENOSPC, EDQUOT and MDB_MAP_FULL. */
const FULL_CODES = new Set([27, 28, 122, -30792]);

/** LMDB's own codes for a file that is not what it should be, lowest and highest. */
const DAMAGE_CODES = [-30799, -30793] as const;

/** The store's error for a failure of LMDB or of the disk. An error of the store is returned unchanged. */
export function asStoreError(folder: string, error: unknown): Error {
  if (StoreErrors.CORRUPT.is(error) || StoreErrors.FULL.is(error) || StoreErrors.UNAVAILABLE.is(error)) return error;
  const { code } = error as { code?: unknown };
  if (typeof code === "number" && FULL_CODES.has(code)) return noSpace(folder, error);
  if (typeof code === "number" && code >= DAMAGE_CODES[0] && code <= DAMAGE_CODES[1])
    return corrupt(folder, messageOf(error), error);
  return StoreErrors.UNAVAILABLE(`Cannot write to "${folder}": ${messageOf(error)}.`, { cause: error });
}

export function noSpace(folder: string, cause: unknown): Error {
  return StoreErrors.FULL(
    `No space is left for the store in "${folder}". This write was not stored; reads still work. Free space on the disk, or raise its quota or file size limit. Writes then work again without a restart.`,
    { cause },
  );
}

export function corrupt(folder: string, problem: string, cause?: unknown): Error {
  return StoreErrors.CORRUPT(
    `The data folder "${folder}" is damaged: ${problem}. Restore it from a backup, or run "posthouse store repair" with the same --data to keep the undamaged records (--dry-run only lists what it would drop). To start with an empty store, move the folder away.`,
    { cause },
  );
}

/** lmdb-js rejects with a placeholder whose `commitError` rejects with the cause. */
export async function causeOf(failure: unknown): Promise<unknown> {
  try {
    await (failure as { commitError?: Promise<never> }).commitError;
    return failure;
  } catch (cause) {
    return cause;
  }
}
