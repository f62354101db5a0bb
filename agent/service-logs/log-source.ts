/** One source of a service's lines: the files that its path means, over renames, truncations and restarts. */
import { messageOf, type Host } from "#base";
import type { Position } from "./log-state.ts";
import { filesOfSource, renamedFile } from "./source-files.ts";
import { NotPlainFile, openTailed, type TailedFile } from "./tailed-file.ts";

/** Milliseconds without a new line after which a renamed file is closed: its writer has reopened its log by then. */
const RENAMED_QUIET_MS = 10_000;

export interface SourceName {
  readonly service: string;
  readonly instance: string;
  readonly pattern: string;
}

export class LogSourceFiles implements AsyncDisposable {
  readonly name: SourceName;
  readonly #host: Host;
  /** By device and inode, so that a renamed file stays the same. The order is that of opening. */
  readonly #files = new Map<string, TailedFile>();
  /** Paths that were refused or cannot be opened, with the reason: each is logged once. */
  readonly #refused = new Map<string, string>();
  /** Positions of an earlier run that were not taken up yet; undefined: the source is new. */
  #earlier: readonly Position[] | undefined;
  #isFirstLook = true;

  constructor(host: Host, name: SourceName, earlier: readonly Position[] | undefined) {
    this.#host = host;
    this.name = name;
    this.#earlier = earlier;
  }

  /** Opens new files and closes renamed ones that are quiet. Returns whether the set of files has changed. */
  async look(): Promise<boolean> {
    const isFirstLook = this.#isFirstLook;
    const before = [...this.#files.keys()].join();
    if (isFirstLook) await this.#openRenamed();
    const found = await filesOfSource(this.name.pattern);
    for (const { path, file } of found) {
      if (!this.#files.has(file)) await this.#open(path, { isFirstRun: isFirstLook && this.#earlier === undefined });
    }
    this.#isFirstLook = false;
    this.#earlier = [];
    const named = new Set(found.map(({ file }) => file));
    for (const [file, tailed] of this.#files) {
      if (named.has(file) || tailed.quietMs(this.#host.clock.monotonic()) < RENAMED_QUIET_MS) continue;
      this.#files.delete(file);
      await tailed[Symbol.asyncDispose]();
    }
    return isFirstLook || [...this.#files.keys()].join() !== before;
  }

  /** Lines that were added to any of the files, oldest file first; `isMore`: there are more at once. */
  async read(buffer: Buffer): Promise<{ lines: string[]; isMore: boolean }> {
    const lines: string[] = [];
    let isMore = false;
    for (const tailed of this.#files.values()) {
      const part = await tailed.read(buffer, this.#host.clock.monotonic()).catch((error: unknown) => {
        this.#refuse(tailed.path, error);
      });
      if (!part) continue;
      if (part.isTruncated)
        this.#host.log.info({ path: tailed.path }, `${tailed.path} was truncated; it is read from its start`);
      lines.push(...part.lines);
      isMore ||= part.isMore;
    }
    return { lines, isMore };
  }

  positions(): Promise<Position[]> {
    return Promise.all([...this.#files.values()].map((tailed) => tailed.position()));
  }

  /** Files that were renamed while no agent ran: what was added to them before is read first. */
  async #openRenamed(): Promise<void> {
    for (const position of this.#earlier ?? []) {
      const path = await renamedFile(position.path, position.file);
      if (path !== undefined) await this.#open(path, { only: position, isFirstRun: false });
      if (this.#files.has(position.file)) continue;
      this.#host.log.warn(
        { path: position.path },
        `${position.path} was replaced while the agent did not run, and the earlier file is gone: its last lines may be missing`,
      );
    }
  }

  /** @param only the file is opened only if it continues at this position */
  async #open(path: string, { only, isFirstRun }: { only?: Position; isFirstRun: boolean }): Promise<void> {
    let tailed: TailedFile;
    try {
      tailed = await openTailed(path);
    } catch (error) {
      this.#refuse(path, error);
      return;
    }
    this.#refused.delete(path);
    if (only && !(await tailed.continueAt(only))) {
      await tailed[Symbol.asyncDispose]();
      return;
    }
    if (isFirstRun && tailed.sizeAtOpen > 0) {
      tailed.startAtEnd();
      this.#host.log.info(
        { path },
        `${path} is collected from its current end on; its ${tailed.sizeAtOpen} bytes before are not`,
      );
    }
    this.#files.set(tailed.file, tailed);
  }

  #refuse(path: string, error: unknown): void {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    const reason = messageOf(error);
    if (this.#refused.get(path) === reason) return;
    this.#refused.set(path, reason);
    const fix =
      error instanceof NotPlainFile ? "Name the file itself." : "Give the agent's user the permission to read it.";
    this.#host.log.warn({ path, service: this.name.service }, `${path} is not collected: ${reason}. ${fix}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tailed of this.#files.values()) await tailed[Symbol.asyncDispose]();
    this.#files.clear();
  }
}
