/** The shared worker that holds the browser's feed, and passes its messages to every tab. */
import { followFeed, type FeedMessage } from "./feed-connection.ts";

const scope = globalThis as unknown as SharedWorkerGlobalScope;
const tabs = new Set<MessagePort>();
let last: FeedMessage = { kind: "state", state: "connecting" };

const feed = followFeed((message) => {
  if (message.kind === "state") last = message;
  for (const tab of tabs) tab.postMessage(message);
});

scope.addEventListener("connect", (event) => {
  const [tab] = event.ports;
  if (!tab) return;
  tabs.add(tab);
  tab.addEventListener("message", ({ data }: MessageEvent<string>) => {
    if (data === "close") tabs.delete(tab);
    if (data === "restart") feed.restart();
  });
  tab.start();
  tab.postMessage(last);
});
