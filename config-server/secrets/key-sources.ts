/**
 * The sources of the keys for secrets: a file, or a program that prints the content of such a file. Errors and logs never
 * repeat the content. A file that others could read is rejected.
 */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, type Host } from "#base";
import { ConfigErrors } from "../api.ts";
import { keyLine } from "./secret-keys.ts";
import type { KeySource } from "./key-source.ts";

/** Bytes of all keys: some hundreds. */
const KEYS_BYTES_MAX = 64 * 1024;
/** Milliseconds that a program may take: a network call, with its retries. */
const COMMAND_MS_MAX = 15_000;
/** Milliseconds between two reads of a file, and between two runs of a program. */
const FILE_RELOAD_MS = 5_000;
const COMMAND_RELOAD_MS = 300_000;
/** Bits of a mode that a key file may not have: anything for others, writing for its group. */
const FORBIDDEN_MODE = 0o027;
const KEY_FILE_MODE = 0o600;

/** A file that an operator provides. */
export function keyFile(path: string): KeySource {
  return { name: `file ${path}`, reloadMs: FILE_RELOAD_MS, read: () => readKeyFile(path) };
}

/** A file that posthouse generates for the first secret. */
export function ownKeyFile(host: Host, path: string): KeySource {
  return {
    name: `file ${path}`,
    reloadMs: FILE_RELOAD_MS,
    async read() {
      try {
        return await readKeyFile(path);
      } catch (error) {
        if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
        throw error;
      }
    },
    async generate() {
      const file = await openNew(path);
      if (!file) return;
      try {
        await file.writeFile(`${keyLine(host.random, host.clock.now())}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      const folder = await open(dirname(path), "r");
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
      host.log.warn(
        { path },
        `a key for secrets was generated in ${path}; back it up separately from the store, because without it secrets can never be read again`,
      );
    },
  };
}

/** Undefined when another process created it meanwhile. */
async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, "wx", KEY_FILE_MODE);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw ConfigErrors.SECRETS_UNCONFIGURED(
      `The key file ${path} cannot be created: ${messageOf(cause)}. Make the folder writable, or set secretKeyFile to another path.`,
      { cause },
    );
  }
}

async function readKeyFile(path: string): Promise<string> {
  const invalid = (what: string, cause?: unknown) =>
    ConfigErrors.SECRET_KEYS_INVALID(`The key file ${path} ${what} (setting secretKeyFile).`, { cause });
  let file;
  try {
    // A pipe without a writer must not block.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw invalid(`cannot be read: ${messageOf(cause)}`, cause);
  }
  try {
    // The state of the opened file, not of a file that may have replaced it.
    const found = await file.stat();
    if (!found.isFile()) throw invalid("is not a file");
    if ((found.mode & FORBIDDEN_MODE) !== 0) {
      const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
      throw invalid(`has mode ${mode}, so others may read or change it; run chmod 600`);
    }
    if (found.size > KEYS_BYTES_MAX) throw invalid(`has ${found.size} bytes; at most ${KEYS_BYTES_MAX} are allowed`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** A program that prints the keys, such as a client of a key management service. */
export function keyCommand(
  host: Host,
  [program, ...args]: readonly [string, ...string[]],
  msMax = COMMAND_MS_MAX,
): KeySource {
  const read = () =>
    new Promise<string>((resolve, reject) => {
      const fail = (what: string, cause?: unknown) => {
        done();
        reject(
          ConfigErrors.SECRET_KEYS_INVALID(
            `The program ${program} ${what}; run it by hand to see why (setting secretKeyCommand).`,
            { cause },
          ),
        );
      };
      // A process group of its own, so that its child processes end with it.
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"], detached: true });
      const end = () => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
        } catch {
          // It has already ended.
        }
      };
      const cancel = host.clock.after(msMax, () => {
        end();
        fail(`took more than ${msMax / 1000} s`);
      });
      const done = () => {
        cancel();
        child.stdout.destroy();
      };
      const chunks: Buffer[] = [];
      let bytes = 0;
      child.stdout.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes <= KEYS_BYTES_MAX) return;
        end();
        fail(`printed more than ${KEYS_BYTES_MAX} bytes`);
      });
      child.on("error", (error) => fail(`cannot be run: ${messageOf(error)}`, error));
      child.on("close", (code, signal) => {
        if (code !== 0) return fail(code === null ? `was terminated by ${signal}` : `ended with code ${code}`);
        done();
        resolve(Buffer.concat(chunks).toString("utf8"));
      });
    });
  return { name: `command ${program}`, reloadMs: COMMAND_RELOAD_MS, remote: true, read };
}
