/** The files of an export: one file, the entries of a zip, or a folder. */
import { lstat, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { unzipSync } from "fflate";
import { messageOf } from "#base";
import { TRANSFER_BYTES_MAX, TRANSFER_FILES_MAX } from "#config-server/api";
import { CliErrors } from "../errors.ts";
import { failUnreadable } from "../input.ts";
import type { SourceFile } from "./conversion.ts";

/** Folders below each other. Exports and config repositories have at most five. */
const DEPTH_MAX = 8;

/** @throws CLI_FILE_UNREADABLE, CLI_EXPORT_INVALID */
export async function readSource(path: string): Promise<SourceFile[]> {
  const kind = await lstat(path).catch(failUnreadable(path));
  if (kind.isDirectory()) return readFolder(path);
  if (kind.size > TRANSFER_BYTES_MAX) throw tooLarge(path);
  const bytes = await readFile(path);
  return isZip(bytes) ? readZip(path, bytes) : [{ path: basename(path), bytes }];
}

const isZip = (bytes: Uint8Array) => bytes[0] === 0x50 && bytes[1] === 0x4b;

function tooLarge(path: string): Error {
  return CliErrors.EXPORT_INVALID(
    `${path} exceeds a limit: ${TRANSFER_FILES_MAX} files and ${TRANSFER_BYTES_MAX} bytes in all. Convert it in parts.`,
  );
}

/** The declared sizes are added up before anything is inflated. */
function readZip(path: string, bytes: Uint8Array): SourceFile[] {
  let size = 0;
  let count = 0;
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes, {
      filter: ({ name, originalSize }) => {
        size += originalSize;
        count++;
        if (size > TRANSFER_BYTES_MAX || count > TRANSFER_FILES_MAX) throw tooLarge(path);
        return !name.endsWith("/");
      },
    });
  } catch (cause) {
    if (CliErrors.EXPORT_INVALID.is(cause)) throw cause;
    throw CliErrors.EXPORT_INVALID(`${path} is not a readable zip: ${messageOf(cause)}.`, { cause });
  }
  // Exports from Windows have backslashes.
  return Object.entries(entries).map(([name, content]) => ({ path: name.replaceAll("\\", "/"), bytes: content }));
}

async function readFolder(root: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  let size = 0;
  async function collect(inside: string, depth: number): Promise<void> {
    for (const entry of await readdir(join(root, inside), { withFileTypes: true })) {
      if (entry.name.startsWith(".") && !/^\.meta(data)?\.yml$/.test(entry.name)) continue;
      const path = inside === "" ? entry.name : `${inside}/${entry.name}`;
      if (entry.isDirectory() && depth < DEPTH_MAX) await collect(path, depth + 1);
      if (!entry.isFile()) continue;
      size += (await lstat(join(root, path))).size;
      if (size > TRANSFER_BYTES_MAX || files.length >= TRANSFER_FILES_MAX) throw tooLarge(root);
      files.push({ path, bytes: await readFile(join(root, path)) });
    }
  }
  await collect("", 1);
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
