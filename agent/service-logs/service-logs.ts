/**
 * Collects the log files of this host's services into the tree. Positions in the log files and lengths of the tree's files are
 * kept together, so that a killed agent continues without a gap and without a line twice.
 */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, own, setOwn, TaskGroup, type Host } from "#base";
import type { DefinedService } from "../definitions.ts";
import type { FileSink } from "../file-sink.ts";
import { levelOfLine } from "./core/level.ts";
import type { TreeLimits } from "./core/retention.ts";
import { LogSourceFiles, type SourceName } from "./log-source.ts";
import { loadLogState, saveLogState, type LogState } from "./log-state.ts";
import { LogTree, type TreeLine } from "./log-tree.ts";

/** Milliseconds between two looks at the log files. */
const POLL_MS = 200;
/** Milliseconds between two writes of the state; a killed agent repeats at most the work of this time. */
const KEEP_MS = 1_000;
/** Milliseconds between two looks for files to delete. */
const SWEEP_MS = 30_000;
/** Free bytes of the disk that logs leave to everything else. */
const FREE_BYTES_MIN = 256 * 1024 * 1024;
/** Bytes that are read of one file before the next file has its turn. */
const READ_BYTES = 256 * 1024;
/** Characters of one batch. Sources beyond it have their turn in the next one, so that memory stays bounded. */
const BATCH_CHARACTERS_MAX = 8 * 1024 * 1024;

export interface ServiceLogsParts {
  readonly sink: FileSink;
  readonly dataDir: string;
  readonly limits: TreeLimits;
  /** Free bytes of the disk; absent: those of the data folder's file system. */
  readonly freeBytes?: () => Promise<number>;
}

export class ServiceLogs implements AsyncDisposable {
  readonly #host: Host;
  readonly #parts: ServiceLogsParts;
  readonly #tree: LogTree;
  readonly #tasks: TaskGroup;
  readonly #sources = new Map<string, LogSourceFiles>();
  readonly #buffer = Buffer.alloc(READ_BYTES);
  #wanted: ReadonlyMap<string, SourceName> = new Map();
  #isRunning = false;
  /** Positions of the lines that the tree has. */
  #settled: LogState["sources"] = {};
  #keptText = "";
  #keptAtMs = Number.NEGATIVE_INFINITY;
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  /** Lines that were read and that the tree does not have yet. Nothing else is read meanwhile. */
  #batch: TreeLine[] = [];
  /** Why nothing is collected at this time. */
  #problem: string | undefined;

  constructor(host: Host, parts: ServiceLogsParts) {
    this.#host = host;
    this.#parts = parts;
    this.#tree = new LogTree(join(parts.dataDir, "logs"));
    this.#tasks = new TaskGroup(host.log);
  }

  /** Takes the services whose logs are collected from now on. Without any, nothing runs. */
  define(services: readonly Pick<DefinedService, "name" | "logs">[]): void {
    const names = services.flatMap(({ name, logs = [] }) =>
      logs.map(({ file }): SourceName => ({ service: name.service, instance: name.id, pattern: file })),
    );
    this.#wanted = new Map(names.map((name) => [`${name.service} ${name.instance} ${name.pattern}`, name]));
    if (this.#isRunning || this.#wanted.size === 0) return;
    this.#isRunning = true;
    this.#tasks.run("service logs", (signal) => this.#run(signal));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const earlier = await loadLogState(this.#host, this.#parts.dataDir);
    await this.#tree.restore(earlier?.open ?? {});
    this.#settled = earlier?.sources ?? {};
    while (!signal.aborted) {
      const isMore = await this.#round().then(
        (more) => {
          this.#resolved();
          return more;
        },
        (error: unknown) => this.#failed(messageOf(error)),
      );
      await this.#host.clock.sleep(isMore ? 0 : POLL_MS, signal).catch(() => {});
    }
    // Lines that were read and not appended are read again by the next run.
    if (this.#batch.length === 0) await this.#keep().catch((error: unknown) => this.#failed(messageOf(error)));
  }

  /** Reads once, and appends what it read. Returns whether there is more at once. */
  async #round(): Promise<boolean> {
    const { clock } = this.#host;
    await this.#sweep();
    await this.#requireSpace();
    let isMore = false;
    if (this.#batch.length === 0) {
      if (await this.#look()) {
        this.#settled = await this.#positions();
        await this.#keep();
      }
      isMore = await this.#read();
    }
    if (this.#batch.length > 0) {
      const nowMs = clock.now();
      if (await this.#tree.prepare(this.#batch, nowMs)) {
        await this.#keep();
        this.#sweptAtMs = Number.NEGATIVE_INFINITY;
      }
      await this.#tree.append(this.#batch, nowMs);
      this.#batch = [];
    }
    this.#settled = await this.#positions();
    if (clock.monotonic() - this.#keptAtMs >= KEEP_MS) await this.#keep();
    return isMore;
  }

  /** Adds and removes sources, and finds their files. Returns whether anything has changed. */
  async #look(): Promise<boolean> {
    let isChanged = false;
    for (const [key, source] of this.#sources) {
      if (this.#wanted.has(key)) continue;
      this.#sources.delete(key);
      await source[Symbol.asyncDispose]();
      isChanged = true;
    }
    for (const [key, name] of this.#wanted) {
      if (!this.#sources.has(key))
        this.#sources.set(key, new LogSourceFiles(this.#host, name, own(this.#settled, key)));
    }
    for (const source of this.#sources.values()) isChanged = (await source.look()) || isChanged;
    return isChanged;
  }

  async #read(): Promise<boolean> {
    let isAnyMore = false;
    let characters = 0;
    const sources = [...this.#sources];
    for (const [key, source] of sources) {
      if (characters >= BATCH_CHARACTERS_MAX) return true;
      const { lines, isMore } = await source.read(this.#buffer);
      const timeMs = this.#host.clock.now();
      const { service, instance } = source.name;
      for (const text of lines) {
        this.#batch.push({ timeMs, service, instance, level: levelOfLine(text), text });
        characters += text.length;
      }
      isAnyMore ||= isMore;
      // It has its next turn after the others.
      this.#sources.delete(key);
      this.#sources.set(key, source);
    }
    return isAnyMore;
  }

  async #positions(): Promise<LogState["sources"]> {
    const positions: LogState["sources"] = {};
    for (const [key, source] of this.#sources) setOwn(positions, key, await source.positions());
    return positions;
  }

  /** Writes the state, if it has changed. */
  async #keep(): Promise<void> {
    const state: LogState = { format: 1, sources: this.#settled, open: Object.fromEntries(this.#tree.open) };
    const text = JSON.stringify(state);
    this.#keptAtMs = this.#host.clock.monotonic();
    if (text === this.#keptText) return;
    await saveLogState(this.#parts.sink, this.#parts.dataDir, state);
    this.#keptText = text;
  }

  async #sweep(): Promise<void> {
    const nowMs = this.#host.clock.monotonic();
    if (nowMs - this.#sweptAtMs < SWEEP_MS) return;
    this.#sweptAtMs = nowMs;
    await this.#tree.sweep(this.#parts.limits, this.#host.clock.now());
  }

  async #requireSpace(): Promise<void> {
    const { dataDir, freeBytes = () => freeBytesOf(dataDir) } = this.#parts;
    if ((await freeBytes()) >= FREE_BYTES_MIN) return;
    throw new Error(`the disk of ${dataDir} has less than ${FREE_BYTES_MIN} free bytes; free some space`);
  }

  #resolved(): void {
    if (this.#problem !== undefined) this.#host.log.info({}, "logs of services are collected again");
    this.#problem = undefined;
  }

  #failed(reason: string): false {
    if (this.#problem !== reason) {
      this.#host.log.warn({}, `Logs of services are not collected, and wait in their files: ${reason}`);
    }
    this.#problem = reason;
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    for (const source of this.#sources.values()) await source[Symbol.asyncDispose]();
  }
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
