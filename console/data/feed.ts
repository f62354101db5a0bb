/** Tells resources which of them may have changed. */
import { signal } from "@preact/signals";
import { followFeed, type FeedMessage } from "./feed-connection.ts";
import { noticeEndOfSession } from "./session.ts";

export const feedState = signal<"connecting" | "live" | "offline">("connecting");
/** When the server was last known to be reachable. */
export const lastLiveAt = signal(Date.now());

/** `service` or `service:orders`; a topic with a name matches changes of that name and changes without names. */
export type FeedTopic = string;

interface FeedListener {
  readonly topics: readonly FeedTopic[];
  readonly changed: () => void;
}

const listeners = new Set<FeedListener>();

export function onFeedChange(topics: readonly FeedTopic[], changed: () => void): () => void {
  const listener = { topics, changed };
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function concerns(topics: readonly FeedTopic[], message: FeedMessage): boolean {
  if (message.kind !== "changed") return true;
  return message.topics.some(({ topic, names }) =>
    topics.some((wanted) => {
      const [kind, name] = wanted.split(/:(.*)/s);
      return kind === topic && (name === undefined || names === undefined || names.includes(name));
    }),
  );
}

function receive(message: FeedMessage): void {
  if (message.kind === "state") {
    const isNewlyLive = message.state === "live" && feedState.peek() !== "live";
    if (feedState.peek() === "live" && message.state !== "live") lastLiveAt.value = Date.now();
    feedState.value = message.state;
    // A stream that a browser cannot open does not say why: the server is away, or the session has ended.
    if (message.state === "offline") void noticeEndOfSession();
    // Whatever was read before may have changed since, and no event said so.
    if (!isNewlyLive) return;
  }
  for (const { topics, changed } of listeners) if (concerns(topics, message)) changed();
}

let restart: (() => void) | undefined;

/** Opens the stream once; after a new sign-in it is opened again with the new cookie. */
export function startFeed(): void {
  if (restart) return restart();
  if (typeof SharedWorker === "undefined") {
    const feed = followFeed(receive);
    restart = () => feed.restart();
    return;
  }
  const worker = new SharedWorker(new URL("./feed-worker.ts", import.meta.url), {
    type: "module",
    name: "posthouse feed",
  });
  worker.port.addEventListener("message", ({ data }: MessageEvent<FeedMessage>) => receive(data));
  worker.port.start();
  restart = () => worker.port.postMessage("restart");
  addEventListener("pagehide", () => worker.port.postMessage("close"));
}
