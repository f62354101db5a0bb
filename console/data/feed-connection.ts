/**
 * The one stream of changes of a browser. All tabs share it through a SharedWorker, because a browser opens about six HTTP/1.1
 * connections to one server.
 */

/** A change that the server reports: its topic, and the names concerned; no names means all. */
export interface FeedChange {
  readonly topic: string;
  readonly names?: readonly string[];
}

export type FeedMessage =
  /** When it becomes live, anything may have changed since before. */
  | { readonly kind: "state"; readonly state: "connecting" | "live" | "offline" }
  | { readonly kind: "changed"; readonly topics: readonly FeedChange[] }
  /** Anything may have changed: after a gap, or a restart of the member's views. */
  | { readonly kind: "reset" };

const FEED = "/v1/feed";
/** Milliseconds without any sign of the server after which the stream counts as broken; the server sends one each 15 s. */
const SILENCE_MS_MAX = 40_000;
/** Milliseconds until the next attempt after the server refused or ended the stream for good. */
const RETRY_MS = 2_000;

/** Follows the feed until the program ends. */
export function followFeed(report: (message: FeedMessage) => void): { restart(): void } {
  let source: EventSource | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let wasLive = false;

  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(restart, SILENCE_MS_MAX);
  };
  function connect() {
    report({ kind: "state", state: wasLive ? "offline" : "connecting" });
    source = new EventSource(FEED);
    source.addEventListener("hello", () => {
      report({ kind: "state", state: "live" });
      wasLive = true;
      alive();
    });
    source.addEventListener("changed", (event: MessageEvent<string>) => {
      alive();
      const { topics } = JSON.parse(event.data) as { readonly topics: readonly FeedChange[] };
      report({ kind: "changed", topics });
    });
    source.addEventListener("reset", () => {
      alive();
      report({ kind: "reset" });
    });
    source.addEventListener("heartbeat", alive);
    source.addEventListener("error", () => {
      report({ kind: "state", state: wasLive ? "offline" : "connecting" });
      if (source?.readyState !== EventSource.CLOSED) return;
      clearTimeout(retry);
      retry = setTimeout(restart, RETRY_MS);
    });
    alive();
  }
  function restart() {
    source?.close();
    clearTimeout(retry);
    connect();
  }
  connect();
  return { restart };
}
