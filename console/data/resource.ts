/** Data of the server that a component shows: loaded once, and again whenever the feed reports a change of its topics. */
import { useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiProblem, readApi } from "./api.ts";
import { type FeedTopic, onFeedChange } from "./feed.ts";
import { readGapMs } from "./read-gap.ts";

export interface ResourceState<Data> {
  /** The latest data; kept while a newer read fails. */
  readonly data: Data | undefined;
  readonly problem: ApiProblem | undefined;
  readonly isLoading: boolean;
}

export interface Resource<Data> extends ResourceState<Data> {
  /** Reads again. Resolves when the newer data is shown. */
  readonly reload: () => Promise<void>;
}

/** Reads all data at a path; a list of several pages has a reader of its own. `onSize` receives the characters of each answer. */
type ReadResource<Data> = (path: string, abort: AbortSignal, onSize: (characters: number) => void) => Promise<Data>;

/** @param path undefined: nothing is read yet. A changed path drops the data of the earlier one. */
export function useResource<Data>(
  path: string | undefined,
  topics: readonly FeedTopic[] = [],
  read: ReadResource<Data> = readApi,
): Resource<Data> {
  const state = useSignal<ResourceState<Data>>({ data: undefined, problem: undefined, isLoading: path !== undefined });
  const reader = useRef<ResourceReader<Data> | undefined>(undefined);
  const topicKey = topics.join(" ");
  useEffect(() => {
    if (path === undefined) {
      state.value = { data: undefined, problem: undefined, isLoading: false };
      return undefined;
    }
    const mine = new ResourceReader<Data>(path, read, (next) => (state.value = next));
    reader.current = mine;
    void mine.read();
    const stop = onFeedChange(topicKey.split(" "), () => void mine.read());
    return () => {
      stop();
      mine.stop();
    };
  }, [path, topicKey, state]);
  const shown: ReadonlySignal<ResourceState<Data>> = state;
  return { ...shown.value, reload: () => reader.current?.readNow() ?? Promise.resolve() };
}

class ResourceReader<Data> {
  readonly #path: string;
  readonly #readAll: ReadResource<Data>;
  readonly #show: (state: ResourceState<Data>) => void;
  readonly #abort = new AbortController();
  #last: ResourceState<Data> = { data: undefined, problem: undefined, isLoading: true };
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  /** When the feed may cause the next read, by the clock of the page. */
  #restUntil = 0;
  #isAsking = false;
  #isUrgent = false;
  #endRest: () => void = () => undefined;

  constructor(path: string, readAll: ReadResource<Data>, show: (state: ResourceState<Data>) => void) {
    this.#path = path;
    this.#readAll = readAll;
    this.#show = show;
    show(this.#last);
  }

  /** One read runs at a time. Calls in the meantime share the one that follows it, and calls before it asks the server share it. */
  read(): Promise<void> {
    if (!this.#running) return (this.#running = this.#once().finally(() => (this.#running = undefined)));
    if (!this.#isAsking) return this.#running;
    return (this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.read();
    }));
  }

  /** Reads without a rest: the reader acted, and waits for the outcome. */
  readNow(): Promise<void> {
    this.#isUrgent = true;
    this.#endRest();
    return this.read();
  }

  stop(): void {
    this.#abort.abort();
    this.#endRest();
  }

  async #once(): Promise<void> {
    const restMs = this.#restUntil - performance.now();
    if (restMs > 0 && !this.#isUrgent) await this.#rest(restMs);
    if (this.#abort.signal.aborted) return;
    this.#isUrgent = false;
    this.#isAsking = true;
    const startedAt = performance.now();
    let characters = 0;
    try {
      const data = await this.#readAll(this.#path, this.#abort.signal, (more) => (characters += more));
      this.#put({ data, problem: undefined, isLoading: false });
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const problem = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
      this.#put({ data: this.#last.data, problem, isLoading: false });
    } finally {
      this.#isAsking = false;
      const now = performance.now();
      this.#restUntil = now + readGapMs(now - startedAt, characters);
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #put(state: ResourceState<Data>): void {
    this.#last = state;
    this.#show(state);
  }
}
