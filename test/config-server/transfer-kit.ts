/**
 * Shared by the tests of config transfer: zips of texts, releases of texts, and git repositories made by the git
 * program.
 */
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { zipSync } from "fflate";
import type { SetName } from "#config-server/api";
import type { TestControl } from "#test/kit";

const run = promisify(execFile);

export function zipOf(files: Readonly<Record<string, string>>): Uint8Array {
  const encoder = new TextEncoder();
  return zipSync(Object.fromEntries(Object.entries(files).map(([path, text]) => [path, encoder.encode(text)])));
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

export function releaseTexts(control: TestControl, set: SetName, values: Readonly<Record<string, string>>) {
  const items = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, { format: "text" as const, value }]),
  );
  return control.client.config.publish(set, { items, reason: "by a test" });
}

/** Writes files, and removes those that are undefined. */
export async function writeFiles(folder: string, files: Readonly<Record<string, string | undefined>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const at = join(folder, path);
    if (text === undefined) await rm(at, { recursive: true, force: true });
    else {
      await mkdir(dirname(at), { recursive: true });
      await writeFile(at, text);
    }
  }
}

export interface Repository {
  readonly path: string;
  git(...args: readonly string[]): Promise<string>;
  /** Changes files, and commits all that is there. The commit's id. */
  commit(files: Readonly<Record<string, string | undefined>>, message?: string): Promise<string>;
}

/** A repository with a work tree and a branch `main`, independent of the git settings of the machine. */
export async function repository(path: string): Promise<Repository> {
  await mkdir(path, { recursive: true });
  const env = {
    PATH: process.env["PATH"] ?? "",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_SYSTEM: "/dev/null",
    GIT_AUTHOR_NAME: "Ann",
    GIT_AUTHOR_EMAIL: "ann@example.com",
    GIT_COMMITTER_NAME: "Ben",
    GIT_COMMITTER_EMAIL: "ben@example.com",
    GIT_ALLOW_PROTOCOL: "file",
  };
  const git = async (...args: readonly string[]) => {
    const { stdout } = await run("git", ["-C", path, ...args], { env, maxBuffer: 64 * 1024 * 1024 });
    return stdout.trim();
  };
  await git("init", "--quiet", "--initial-branch", "main");
  return {
    path,
    git,
    async commit(files, message = "a change") {
      await writeFiles(path, files);
      await git("add", "--all");
      await git("commit", "--quiet", "--allow-empty", "--message", message);
      return git("rev-parse", "HEAD");
    },
  };
}
