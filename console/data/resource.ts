/** Data of the server that a component shows: loaded once, and again whenever the feed reports a change of its topics. */
import { useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiProblem, readApi } from "./api.ts";
import { type FeedTopic, onFeedChange } from "./feed.ts";

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

/** Milliseconds between two reads of one resource: four per second at most. */
const READ_GAP_MS = 250;

/** Reads all data at a path; a list of several pages has a reader of its own. */
type ReadResource<Data> = (path: string, abort: AbortSignal) => Promise<Data>;

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
  return { ...shown.value, reload: () => reader.current?.read() ?? Promise.resolve() };
}

class ResourceReader<Data> {
  readonly #path: string;
  readonly #readAll: ReadResource<Data>;
  readonly #show: (state: ResourceState<Data>) => void;
  readonly #abort = new AbortController();
  #last: ResourceState<Data> = { data: undefined, problem: undefined, isLoading: true };
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #readAt = 0;

  constructor(path: string, readAll: ReadResource<Data>, show: (state: ResourceState<Data>) => void) {
    this.#path = path;
    this.#readAll = readAll;
    this.#show = show;
    show(this.#last);
  }

  /** One read runs at a time. Calls in the meantime share the one that follows it. */
  read(): Promise<void> {
    if (!this.#running) return (this.#running = this.#once().finally(() => (this.#running = undefined)));
    return (this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.read();
    }));
  }

  stop(): void {
    this.#abort.abort();
  }

  async #once(): Promise<void> {
    const wait = this.#readAt + READ_GAP_MS - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    if (this.#abort.signal.aborted) return;
    this.#readAt = Date.now();
    try {
      const data = await this.#readAll(this.#path, this.#abort.signal);
      this.#put({ data, problem: undefined, isLoading: false });
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const problem = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
      this.#put({ data: this.#last.data, problem, isLoading: false });
    }
  }

  #put(state: ResourceState<Data>): void {
    this.#last = state;
    this.#show(state);
  }
}
