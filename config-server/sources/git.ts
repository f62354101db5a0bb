/**
 * Reads the tip of one branch of a local git repository from its objects. The work tree and uncommitted changes do not count,
 * no program is run, and nothing is written. Another program must fetch or push into the repository.
 */
import * as fs from "node:fs/promises";
import { join, resolve } from "node:path";
import { isDescendent, readBlob, readCommit, readTree, resolveRef } from "isomorphic-git";
import { AppError, messageOf } from "#base";
import type { FileProblem } from "../api.ts";
import { isBeside, type TreeFile } from "../core/tree.ts";
import {
  Budget,
  DEPTH_MAX,
  isOutsideSets,
  unreadable,
  type Snapshot,
  type SourceReader,
  type SourceSettings,
} from "./snapshot.ts";

/** Bytes of a file of git itself, such as a pack: it is read as a whole. */
export const GIT_FILE_BYTES_MAX = 256 * 1024 * 1024;
/** Commits that are read to find out whether one tip is a descendant of another. */
const ANCESTORS_MAX = 2_000;
const LINK_MODE = "120000";

/** The files found so far, and the limits of the walk. */
interface Walk {
  readonly files: TreeFile[];
  readonly problems: FileProblem[];
  readonly budget: Budget;
  readonly signal: AbortSignal;
}

export class GitReader implements SourceReader {
  readonly #settings: SourceSettings;

  constructor(settings: SourceSettings) {
    this.#settings = settings;
  }

  async glance(): Promise<string> {
    const gitdir = await this.#gitdir();
    await this.#requireSha1(gitdir);
    return this.#tip(gitdir);
  }

  /** @throws CONFIG_SOURCE_UNREADABLE for a repository with unsupported object names */
  async #requireSha1(gitdir: string): Promise<void> {
    const config = await fs.readFile(join(gitdir, "config"), "utf8").catch(() => "");
    const [, format = "sha1"] = /^\s*objectformat\s*=\s*"?(\w+)/im.exec(config) ?? [];
    if (format.toLowerCase() === "sha1") return;
    throw unreadable(
      this.#settings,
      `its objects are named by ${format.toUpperCase()}, which is not supported; mirror it into a repository made with git init --object-format=sha1`,
    );
  }

  async read(signal: AbortSignal): Promise<Snapshot> {
    const gitdir = await this.#gitdir();
    await this.#requireSha1(gitdir);
    const oid = await this.#tip(gitdir);
    // The cache of opened packs lives for one read only: packs are large, and are replaced.
    const guard = guarded();
    const at = { fs: guard.fs, gitdir, cache: {} };
    try {
      const { commit } = await readCommit({ ...at, oid });
      const budget = new Budget(this.#settings.name);
      const found: Pick<Walk, "files" | "problems"> = { files: [], problems: [] };
      const root = await this.#root(at, oid);
      await this.#walk(at, { oid: root, path: "", depth: 0 }, { budget, signal, ...found });
      const { name, email } = commit.author;
      return { commit: oid, author: `${name} <${email}>`, message: commit.message.trim(), ...found };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AppError) throw error;
      throw unreadable(this.#settings, `commit ${oid} cannot be read: ${guard.refusal() ?? messageOf(error)}`, error);
    }
  }

  async isDescendant(commit: string, earlier: string): Promise<boolean> {
    if (commit === earlier) return true;
    const at = { fs: guarded().fs, gitdir: await this.#gitdir(), cache: {} };
    try {
      return await isDescendent({ ...at, oid: commit, ancestor: earlier, depth: ANCESTORS_MAX });
    } catch {
      // The earlier commit is gone, for example after a rewrite and a garbage collection, or it is very far away.
      return false;
    }
  }

  /** The tree that contains the sets. */
  async #root(at: At, oid: string): Promise<string> {
    const { folder } = this.#settings;
    const filepath = folder?.replaceAll(/^\/+|\/+$/g, "");
    if (filepath === undefined || filepath === "") return (await readTree({ ...at, oid })).oid;
    try {
      return (await readTree({ ...at, oid, filepath })).oid;
    } catch (error) {
      throw unreadable(this.#settings, `commit ${oid} has no folder "${filepath}"`, error);
    }
  }

  async #walk(at: At, { oid, path, depth }: { oid: string; path: string; depth: number }, walk: Walk): Promise<void> {
    const { files, problems, budget, signal } = walk;
    const { tree } = await readTree({ ...at, oid });
    for (const entry of tree) {
      const file = path === "" ? entry.path : `${path}/${entry.path}`;
      if (isBeside(entry.path)) continue;
      signal.throwIfAborted();
      budget.file();
      if (entry.type !== "tree" && isOutsideSets(this.#settings, file)) continue;
      if (entry.type === "commit") {
        const message = "is a submodule, whose files are not in this repository. Configure it as a source of its own";
        problems.push({ file, message });
      } else if (entry.mode === LINK_MODE) {
        problems.push({ file, message: "is a symbolic link; add the file itself" });
      } else if (entry.type === "tree") {
        if (depth < DEPTH_MAX) await this.#walk(at, { oid: entry.oid, path: file, depth: depth + 1 }, walk);
      } else {
        const { blob } = await readBlob({ ...at, oid: entry.oid });
        const wrong = budget.bytes(file, blob.length);
        if (wrong === undefined) files.push({ path: file, bytes: blob });
        else problems.push({ file, message: wrong });
      }
    }
  }

  async #tip(gitdir: string): Promise<string> {
    const { branch } = this.#settings;
    try {
      return await resolveRef({ fs: guarded().fs, gitdir, ref: `refs/heads/${branch}` });
    } catch (error) {
      throw unreadable(this.#settings, `it has no branch "${branch}"`, error);
    }
  }

  /** The folder of the objects: the path itself when bare, `.git` in it, or the target of a file `.git` in a linked work tree. */
  async #gitdir(): Promise<string> {
    const { path } = this.#settings;
    const inside = join(path, ".git");
    const kind = await fs.stat(inside).catch(() => undefined);
    if (kind?.isDirectory()) return inside;
    if (kind?.isFile()) {
      const [, target] = /^gitdir: (.+?)\s*$/m.exec(await fs.readFile(inside, "utf8")) ?? [];
      if (target !== undefined) {
        const own = resolve(path, target);
        const common = await fs.readFile(join(own, "commondir"), "utf8").catch(() => undefined);
        return common === undefined ? own : resolve(own, common.trim());
      }
    }
    const [head, objects] = await Promise.all(
      ["HEAD", "objects"].map((name) => fs.stat(join(path, name)).catch(() => undefined)),
    );
    if (head?.isFile() && objects?.isDirectory()) return path;
    throw unreadable(this.#settings, "it is not a git repository");
  }
}

interface At {
  readonly fs: Guarded["fs"];
  readonly gitdir: string;
  readonly cache: object;
}

interface Guarded {
  readonly fs: { readonly promises: typeof fs };
  /** Why a file was not read: isomorphic-git treats any error as a missing file. */
  refusal(): string | undefined;
}

/** The file system for isomorphic-git: read-only, and without files that would fill the memory. */
function guarded(): Guarded {
  let refusal: string | undefined;
  const readFile = async (path: string, options: Parameters<typeof fs.readFile>[1] = null) => {
    const { size } = await fs.stat(path);
    if (size <= GIT_FILE_BYTES_MAX) return fs.readFile(path, options);
    refusal = `${path} is ${size} bytes; at most ${GIT_FILE_BYTES_MAX} are allowed. Repack with a smaller pack.packSizeLimit`;
    throw new Error(refusal);
  };
  const write = (path: unknown) => Promise.reject(new Error(`${String(path)} is read-only`));
  const writes = {
    writeFile: write,
    unlink: write,
    mkdir: write,
    rmdir: write,
    symlink: write,
    chmod: write,
    rm: write,
  };
  return { fs: { promises: { ...fs, ...writes, readFile: readFile as typeof fs.readFile } }, refusal: () => refusal };
}
