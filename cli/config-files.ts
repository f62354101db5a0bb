/** A folder of config files as the zip that an import takes, and the zip of an export as a folder. */
import { createWriteStream } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { unzipSync, zipSync } from "fflate";
import { setOwn } from "#base";
import {
  ConfigErrors,
  fileBytesMax,
  MANIFEST_NAME,
  TRANSFER_BYTES_MAX,
  TRANSFER_FILE_BYTES_MAX,
  TRANSFER_FILES_MAX,
  ZIP_BYTES_MAX,
  type Manifest,
} from "#config-server/api";
import { CliErrors } from "./errors.ts";
import { failUnreadable } from "./input.ts";

/** Levels of folders that are read. Files of sets need three; deeper files are sent, too, so that the server reports them. */
const DEPTH_MAX = 8;
/** Only the exporting user may read the files, since values may be secrets. */
const MODE = { file: 0o600, folder: 0o700 } as const;

/**
 * The bytes of a zip, or of a zip made from a folder, without dot files. Links are not followed.
 * @throws CLI_FILE_UNREADABLE, CONFIG_ZIP_INVALID, CONFIG_ZIP_TOO_LARGE
 */
export async function readImport(path: string): Promise<Uint8Array> {
  const kind = await lstat(path).catch(failUnreadable(path));
  if (!kind.isDirectory()) {
    if (kind.size > ZIP_BYTES_MAX) {
      throw ConfigErrors.ZIP_TOO_LARGE(`${path} has ${kind.size} bytes; the maximum is ${ZIP_BYTES_MAX}. Split it.`);
    }
    return readFile(path);
  }
  const files: Record<string, Uint8Array> = {};
  await collect(path, "", { files, bytes: 0 });
  return zipSync(files, { level: 6 });
}

async function collect(
  root: string,
  inside: string,
  found: { files: Record<string, Uint8Array>; bytes: number },
): Promise<void> {
  for (const entry of await readdir(join(root, inside), { withFileTypes: true })) {
    if (entry.name.startsWith(".")) continue;
    const path = inside === "" ? entry.name : `${inside}/${entry.name}`;
    if (entry.isSymbolicLink()) {
      throw ConfigErrors.ZIP_INVALID(`${join(root, path)} is a symbolic link. Replace it by the file itself.`, {
        extra: { entry: path },
      });
    }
    if (entry.isDirectory()) {
      if (path.split("/").length <= DEPTH_MAX) await collect(root, path, found);
    } else if (entry.isFile()) {
      const { size } = await lstat(join(root, path));
      found.bytes += size;
      const tooMany = Object.keys(found.files).length >= TRANSFER_FILES_MAX;
      if (size > fileBytesMax(path) || found.bytes > TRANSFER_BYTES_MAX || tooMany) {
        throw ConfigErrors.ZIP_TOO_LARGE(
          `${join(root, path)} exceeds a limit: a file has at most ${TRANSFER_FILE_BYTES_MAX} bytes, an import at most ${TRANSFER_FILES_MAX} files and ${TRANSFER_BYTES_MAX} bytes. Import one namespace or one app at a time.`,
        );
      }
      setOwn(found.files, path, await readFile(join(root, path)));
    }
  }
}

/** Writes the whole file or nothing: to a temporary file, which is then renamed. */
export async function writeZipFile(path: string, zip: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await pipeline(zip, createWriteStream(temporary, { mode: MODE.file }));
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Writes an export into a folder. Files of an earlier export that are not in this one are removed, so that importing the folder
 * does not bring them back. @returns the number of files @throws CLI_FOLDER_NOT_EMPTY when the folder has other content
 */
export async function writeFolder(folder: string, zip: AsyncIterable<Uint8Array>): Promise<number> {
  const earlier = await requireOwn(folder);
  const chunks: Uint8Array[] = [];
  for await (const chunk of zip) chunks.push(chunk);
  const files = unzipSync(Buffer.concat(chunks));
  for (const [path, bytes] of Object.entries(files)) {
    if (!isSafe(path))
      throw ConfigErrors.ZIP_INVALID(`The export has the entry "${path}", which is not a valid path of config.`);
    await mkdir(dirname(join(folder, path)), { recursive: true, mode: MODE.folder });
    await writeFile(join(folder, path), bytes, { mode: MODE.file });
  }
  for (const path of earlier) if (!Object.hasOwn(files, path)) await rm(join(folder, path), { force: true });
  return Object.keys(files).length - 1;
}

/** Paths that an earlier export wrote into the folder. */
async function requireOwn(folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true, mode: MODE.folder });
  const there = (await readdir(folder)).filter((name) => !name.startsWith("."));
  if (there.length === 0) return [];
  const text = await readFile(join(folder, MANIFEST_NAME), "utf8").catch(() => undefined);
  if (text === undefined) {
    throw CliErrors.FOLDER_NOT_EMPTY(
      `--out ${folder}: the folder is neither empty nor an earlier export (it has no ${MANIFEST_NAME}). Use a new or empty folder.`,
    );
  }
  const { sets } = JSON.parse(text) as Manifest;
  const flat = sets.length === 1 && !there.includes(sets[0]?.namespace ?? "");
  return sets
    .flatMap(({ namespace, app, profile, keys }) =>
      Object.keys(keys).map((key) => (flat ? key : `${namespace}/${app}/${profile}/${key}`)),
    )
    .filter(isSafe);
}

function isSafe(path: string): boolean {
  return path === MANIFEST_NAME || /^([a-z0-9-]+\/){0,3}[A-Za-z0-9][A-Za-z0-9._-]*$/.test(path);
}
