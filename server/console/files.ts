/**
 * The files of the console, read once into memory. A request finds its file in a map by name and reaches no disk, so no path can lead
 * out of the folder. Symbolic links are not followed.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";

/** Content types by extension. Other files are not served. */
const TYPES: ReadonlyMap<string, string> = new Map([
  [".html", "text/html; charset=utf-8"],
  [".js", "text/javascript; charset=utf-8"],
  [".css", "text/css; charset=utf-8"],
  [".json", "application/json; charset=utf-8"],
  [".map", "application/json; charset=utf-8"],
  [".svg", "image/svg+xml"],
  [".png", "image/png"],
  [".ico", "image/x-icon"],
  [".woff2", "font/woff2"],
]);
/** Compressed variants beside a file, the best first. */
const ENCODINGS = [
  { name: "br", extension: ".br" },
  { name: "gzip", extension: ".gz" },
] as const;
/** Bytes of all files: ten times the console with its source maps. More is another folder, and would fill the memory. */
const BYTES_MAX = 32 * 1024 * 1024;
const INDEX = "index.html";
/** Files whose names contain their hash. */
const HASHED = "assets/";
/** The place of the nonce in index.html. */
const NONCE_PLACE = /(?<=<meta name="csp-nonce" content=")(?=")/;
const ETAG_CHARS = 22;

export interface ConsoleVariant {
  readonly encoding: "br" | "gzip" | undefined;
  readonly bytes: Buffer;
  readonly etag: string;
}

export interface ConsoleFile {
  readonly type: string;
  /** Whether a change of the file also changes its name. */
  readonly isHashed: boolean;
  /** The best one first; the last one is not encoded. */
  readonly variants: readonly ConsoleVariant[];
}

export interface BuiltConsole {
  readonly files: ReadonlyMap<string, ConsoleFile>;
  /** The page of every path, with a nonce for its styles. */
  readonly page: { readonly etag: string; readonly withNonce: (nonce: string) => string };
}

export class ConsoleFiles {
  readonly #folder: string | undefined;
  #read: Promise<BuiltConsole | undefined> | undefined;

  /** `folder`: absent or missing when the console is not built. */
  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** Undefined while the console is not built. A later build is found without a restart. */
  async built(): Promise<BuiltConsole | undefined> {
    if (this.#folder === undefined) return undefined;
    this.#read ??= readConsole(this.#folder);
    try {
      const found = await this.#read;
      if (!found) this.#read = undefined;
      return found;
    } catch (error) {
      this.#read = undefined;
      throw error;
    }
  }
}

async function readConsole(folder: string): Promise<BuiltConsole | undefined> {
  const contents = await readContents(folder);
  const index = contents.get(INDEX);
  if (index === undefined) return undefined;
  const files = new Map<string, ConsoleFile>();
  for (const [path, bytes] of contents) {
    const type = TYPES.get(extname(path));
    if (type === undefined || path === INDEX) continue;
    const tag = tagOf(bytes);
    const variants = ENCODINGS.flatMap(({ name, extension }): ConsoleVariant[] => {
      const encoded = contents.get(`${path}${extension}`);
      return encoded === undefined ? [] : [{ encoding: name, bytes: encoded, etag: `${tag}-${name}` }];
    });
    const plain = { encoding: undefined, bytes, etag: tag };
    files.set(path, { type, isHashed: path.startsWith(HASHED), variants: [...variants, plain] });
  }
  const text = index.toString("utf8");
  return { files, page: { etag: tagOf(index), withNonce: (nonce) => text.replace(NONCE_PLACE, nonce) } };
}

/** Every regular file by its path from the folder, with slashes. */
async function readContents(folder: string): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>();
  let bytes = 0;
  for (const path of await filesIn(folder)) {
    const content = await readFile(path);
    bytes += content.length;
    if (bytes > BYTES_MAX) throw new Error(`${folder} has more than ${BYTES_MAX} bytes, so it is not the console`);
    contents.set(relative(folder, path).split(sep).join("/"), content);
  }
  return contents;
}

/** The regular files of a folder and the folders in it. Node's own recursive listing would follow symbolic links to folders. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const found = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesIn(path);
    return entry.isFile() ? [path] : [];
  });
  return (await Promise.all(found)).flat();
}

function tagOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, ETAG_CHARS);
}
