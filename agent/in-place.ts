/**
 * Overwrites a file in its inode, for a file that cannot be replaced, such as one that is itself a mount. Readers may see parts of
 * both contents for a moment. The bytes beyond the old size are written first, so that a full disk leaves the old content.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

/** Bytes of old content that are kept in memory, to restore it when writing fails. */
const PUT_BACK_BYTES_MAX = 4 * 1024 * 1024;

/** @throws Error of the file system; with `isTorn` when the file has neither the old content nor the new */
export async function writeInPlace(path: string, content: Buffer): Promise<void> {
  await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  const { size } = await file.stat();
  try {
    if (content.length > size) await writeAt(file, content.subarray(size), size);
  } catch (error) {
    await file.truncate(size);
    throw error;
  }
  const before = size > PUT_BACK_BYTES_MAX ? undefined : Buffer.alloc(size);
  if (before) await file.read(before, 0, size, 0);
  try {
    await writeAt(file, content.subarray(0, size), 0);
    await file.truncate(content.length);
    await file.sync();
  } catch (error) {
    const isBack = before !== undefined && (await putBack(file, before));
    throw Object.assign(error as Error, { isTorn: !isBack });
  }
}

async function putBack(file: FileHandle, before: Buffer): Promise<boolean> {
  try {
    await writeAt(file, before, 0);
    await file.truncate(before.length);
    await file.sync();
    return true;
  } catch {
    return false;
  }
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
