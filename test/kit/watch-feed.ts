/** A watch of the registry whose frames a test gives by hand. */
import type { Client } from "#client";
import type { Frame } from "#http/frames";
import type { ServiceDelta } from "#registry/api";

export interface WatchFeed {
  readonly registry: Client["registry"];
  readonly hear: (...frames: Frame<ServiceDelta>[]) => void;
  /** Whether the reader has taken all that was given. */
  readonly isRead: () => boolean;
}

export function watchFeed(...first: Frame<ServiceDelta>[]): WatchFeed {
  const frames = [...first];
  let wake = () => {};
  const registry = {
    async *watch(_query: unknown, { signal }: { signal: AbortSignal }) {
      signal.addEventListener("abort", () => wake(), { once: true });
      while (!signal.aborted) {
        const frame = frames.shift();
        if (frame) yield frame;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  } as unknown as Client["registry"];
  return {
    registry,
    hear(...given) {
      frames.push(...given);
      wake();
    },
    isRead: () => frames.length === 0,
  };
}
