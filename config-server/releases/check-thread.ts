/** Runs checks in the checking thread, and ends the thread when a check takes too long. */
import { Worker } from "node:worker_threads";
import type { Host } from "#base";
import { readPlainJson } from "#base/plain-json";
import { ConfigErrors, type Item, type Items, type ReleaseProblem } from "../api.ts";
import type { CheckAnswer, CheckTask } from "./check-worker.ts";
import { FairShare } from "../core/fair-share.ts";
import { checkSyntax } from "../core/format.ts";
import { FORMATS } from "../core/formats/mod.ts";
import type { SchemaTask } from "./schema.ts";

/** Milliseconds for the syntax of a release: eight MiB of YAML on a slow machine. */
const SYNTAX_MS_MAX = 30_000;
/** Milliseconds for all schemas of a release: thousands of values, or lists compared item by item. */
const SCHEMA_MS_MAX = 5_000;
/** Characters of YAML that are checked without a thread: about ten milliseconds; a thread needs thirty to start. */
const AT_ONCE_CHARS_MAX = 16 * 1024;
/** Keys that an error names. */
const KEYS_NAMED_MAX = 10;
/** MiB of heap of one check: about sixty times the largest release, which YAML needs. Beyond it the thread ends, not the server. */
const HEAP_MIB_MAX = 768;
/** Checks at a time; others wait. Each takes memory and a core. */
const THREADS_MAX = 2;
const WORKER = new URL(`./check-worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** @throws CONFIG_CHECK_TIMEOUT */
export async function checkSyntaxOf(host: Host, items: Items, author: string): Promise<readonly ReleaseProblem[]> {
  const chars = Object.values(items).reduce((sum, item) => sum + item.value.length / speedOf(item), 0);
  if (chars <= AT_ONCE_CHARS_MAX) return checkSyntax(items);
  return inThread(host, { syntaxOf: items }, { author, keys: Object.keys(items), msMax: SYNTAX_MS_MAX });
}

function speedOf({ format, value }: Item): number {
  const isJson = format === "yaml" && value.length <= AT_ONCE_CHARS_MAX * FORMATS.json.speed && readPlainJson(value);
  return FORMATS[isJson ? "json" : format].speed;
}

/** @throws CONFIG_CHECK_TIMEOUT */
export async function checkSchemas(
  host: Host,
  schemas: readonly SchemaTask[],
  author: string,
): Promise<readonly ReleaseProblem[]> {
  if (schemas.length === 0) return [];
  const keys = schemas.map(({ key }) => key);
  return inThread(host, { schemas }, { author, keys, msMax: SCHEMA_MS_MAX });
}

/** Milliseconds until a thread has started, on a busy machine. */
const START_MS_MAX = 60_000;
/** Milliseconds that a thread is kept for the next release. */
const IDLE_MS = 30_000;
/** Idle threads; the one that worked last is at the end. */
const idle: CheckThread[] = [];
/** An author has one thread at a time: slow checks of one never keep both from another. */
const places = new FairShare(THREADS_MAX);

interface Bounds {
  readonly author: string;
  readonly keys: readonly string[];
  readonly msMax: number;
}

async function inThread(host: Host, task: CheckTask, bounds: Bounds): Promise<readonly ReleaseProblem[]> {
  await places.enter(bounds.author);
  try {
    return await checked(host, task, bounds);
  } finally {
    places.leave(bounds.author);
  }
}

async function checked(host: Host, task: CheckTask, { keys, msMax }: Bounds): Promise<readonly ReleaseProblem[]> {
  const named = [...new Set(keys)].slice(0, KEYS_NAMED_MAX).join(", ");
  const { promise, resolve, reject } = Promise.withResolvers<readonly ReleaseProblem[]>();
  // It may fail before or after it is awaited.
  promise.catch(() => {});
  const thread = idle.pop() ?? new CheckThread();
  thread.onAnswer = resolve;
  thread.onEnd = (error) =>
    reject(
      error.code === "ERR_WORKER_OUT_OF_MEMORY"
        ? ConfigErrors.CHECK_TIMEOUT(
            `Checking ${named} took more than ${HEAP_MIB_MAX} MiB of memory. Release less at a time. Nothing was released.`,
          )
        : error,
    );
  const after = (ms: number, why: string) =>
    host.clock.after(ms, () => reject(ConfigErrors.CHECK_TIMEOUT(`${why} Nothing was released.`)));
  let cancel = after(START_MS_MAX, `No thread for checks started within ${START_MS_MAX / 1000} s. Try again.`);
  try {
    // Inside the try: a task that cannot be sent must end the timer, whose rejection would be unhandled.
    thread.worker.ref();
    await Promise.race([thread.begun, promise]);
    cancel();
    cancel = after(
      msMax,
      `Checking ${named} took more than ${msMax / 1000} s. Release less at a time, or simplify the schema.`,
    );
    thread.worker.postMessage(task, []);
    const problems = await promise;
    keepIdle(host, thread);
    return problems;
  } catch (error) {
    await thread.worker.terminate();
    throw error;
  } finally {
    cancel();
  }
}

/** One thread, and the check that waits for it. It may fail at any time, even when idle; a failure affects its own check only. */
class CheckThread {
  readonly worker = new Worker(WORKER, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX } });
  onAnswer: (problems: readonly ReleaseProblem[]) => void = () => {};
  onEnd: (error: NodeJS.ErrnoException) => void = () => {};
  /** Never rejects: `onEnd` reports an earlier end. */
  readonly begun: Promise<void>;

  constructor() {
    const begun = Promise.withResolvers<void>();
    this.begun = begun.promise;
    this.worker.on("message", (message: CheckAnswer) => {
      if (message === "begun") begun.resolve();
      else this.onAnswer(message);
    });
    this.worker.on("messageerror", (error) => this.#ended(error));
    this.worker.on("error", (error) => this.#ended(error as Error));
    this.worker.on("exit", (code) => this.#ended(new Error(`the checking thread ended with code ${code}`)));
  }

  #ended(error: NodeJS.ErrnoException): void {
    const at = idle.indexOf(this);
    if (at >= 0) idle.splice(at, 1);
    this.onEnd(error);
  }
}

/** Keeps an idle thread for a while: the next check then takes a tenth of the time. It does not keep the process alive. */
function keepIdle(host: Host, thread: CheckThread): void {
  thread.worker.unref();
  thread.onAnswer = () => {};
  thread.onEnd = () => {};
  idle.push(thread);
  host.clock.after(IDLE_MS, () => {
    const at = idle.indexOf(thread);
    // A thread that was used meanwhile has a later end of its own.
    if (at >= 0)
      idle
        .splice(at, 1)[0]
        ?.worker.terminate()
        .catch(() => {});
  });
}
