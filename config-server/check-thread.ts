/** Asks the checking thread, and ends it when it takes too long. */
import { Worker } from "node:worker_threads";
import type { Host } from "#base";
import { ConfigErrors, type Items, type ReleaseProblem } from "./api.ts";
import type { CheckTask } from "./check-worker.ts";
import { checkSyntax } from "./core/format.ts";
import type { SchemaTask } from "./schema.ts";

/** Milliseconds for the syntax of a release: eight MiB of YAML on a slow machine. */
const SYNTAX_MS_MAX = 30_000;
/** Milliseconds for all schemas of a release: thousands of values, or one bad pattern. */
const SCHEMA_MS_MAX = 5_000;
/** Characters of values that are checked without a thread: some five milliseconds; a thread takes thirty to begin. */
const AT_ONCE_CHARS_MAX = 16 * 1024;
/** Keys that an error names. */
const KEYS_NAMED_MAX = 10;
/** MiB of heap of one check: some sixty times what a release may have, as YAML takes. Beyond it the thread ends, not the server. */
const HEAP_MIB_MAX = 768;
/** Checks under way at a time; others wait. They are made of memory and of a core. */
const THREADS_MAX = 2;
const WORKER = new URL(`./check-worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** @throws CONFIG_CHECK_TIMEOUT */
export async function checkSyntaxOf(host: Host, items: Items): Promise<readonly ReleaseProblem[]> {
  const chars = Object.values(items).reduce((sum, { value }) => sum + value.length, 0);
  if (chars <= AT_ONCE_CHARS_MAX) return checkSyntax(items);
  return inThread(host, { syntaxOf: items }, { keys: Object.keys(items), msMax: SYNTAX_MS_MAX });
}

/** @throws CONFIG_CHECK_TIMEOUT */
export async function checkSchemas(host: Host, schemas: readonly SchemaTask[]): Promise<readonly ReleaseProblem[]> {
  if (schemas.length === 0) return [];
  const keys = schemas.map(({ key }) => key);
  return inThread(host, { schemas }, { keys, msMax: SCHEMA_MS_MAX });
}

let running = 0;
const waiting: (() => void)[] = [];

interface Bounds {
  readonly keys: readonly string[];
  readonly msMax: number;
}

async function inThread(host: Host, task: CheckTask, bounds: Bounds): Promise<readonly ReleaseProblem[]> {
  if (running >= THREADS_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await checked(host, task, bounds);
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

async function checked(host: Host, task: CheckTask, { keys, msMax }: Bounds): Promise<readonly ReleaseProblem[]> {
  const named = [...new Set(keys)].slice(0, KEYS_NAMED_MAX).join(", ");
  const worker = new Worker(WORKER, { workerData: task, resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX } });
  const { promise, resolve, reject } = Promise.withResolvers<readonly ReleaseProblem[]>();
  worker.once("message", resolve);
  worker.once("error", (error: NodeJS.ErrnoException) =>
    reject(
      error.code === "ERR_WORKER_OUT_OF_MEMORY"
        ? ConfigErrors.CHECK_TIMEOUT(
            `Checking ${named} took more than ${HEAP_MIB_MAX} MiB of memory. Release less at a time. Nothing was released.`,
          )
        : error,
    ),
  );
  const cancel = host.clock.after(msMax, () =>
    reject(
      ConfigErrors.CHECK_TIMEOUT(
        `Checking ${named} took more than ${msMax / 1000} s. Look for a pattern that backtracks, or release less at a time. Nothing was released.`,
      ),
    ),
  );
  try {
    return await promise;
  } finally {
    cancel();
    await worker.terminate();
  }
}
