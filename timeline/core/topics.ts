/** The topics of the feed that a change of a key belongs to, with the name of what changed. Pure. */
import type { FeedTopic } from "../api.ts";

/** The app that gateways follow: its config is their routes. */
const GATEWAY_APP = "gateway";

/** A topic, and how many parts of the key after the prefix are the name. 0: the topic has no names. */
interface TopicRow {
  readonly prefix: string;
  readonly topics: readonly (readonly [topic: FeedTopic, parts: number])[];
}

/** The first row that matches counts. Keys of later versions match none. */
const ROWS: readonly TopicRow[] = [
  {
    prefix: "/registry/instances/",
    topics: [
      ["services", 1],
      ["service", 2],
    ],
  },
  {
    prefix: "/registry/verdicts/",
    topics: [
      ["services", 1],
      ["service", 2],
    ],
  },
  {
    prefix: "/registry/policies/",
    topics: [
      ["services", 1],
      ["service", 2],
      ["routes", 1],
    ],
  },
  {
    prefix: "/registry/history/",
    topics: [
      ["service", 2],
      ["changes", 0],
    ],
  },
  {
    prefix: "/config/live/",
    topics: [
      ["config", 3],
      ["rollouts", 3],
    ],
  },
  { prefix: "/config/rollouts/", topics: [["rollouts", 3]] },
  { prefix: "/config/acknowledgements/", topics: [["rollouts", 3]] },
  { prefix: "/config/subscribers/", topics: [["rollouts", 3]] },
  { prefix: "/config/drafts/", topics: [["config", 3]] },
  { prefix: "/config/proposals/", topics: [["config", 3]] },
  { prefix: "/config/owners/", topics: [["config", 3]] },
  { prefix: "/config/rules/", topics: [["config", 0]] },
  { prefix: "/config/sources/", topics: [["config", 0]] },
  { prefix: "/locks/holders/", topics: [["locks", 2]] },
  { prefix: "/locks/queue/", topics: [["locks", 2]] },
  { prefix: "/locks/breaks/", topics: [["locks", 2]] },
  { prefix: "/access/", topics: [["access", 0]] },
  { prefix: "/cluster/members/", topics: [["members", 0]] },
  { prefix: "/traffic/", topics: [["traffic", 0]] },
  { prefix: "/changes/log/", topics: [["changes", 0]] },
];

/** Calls back for each topic of a key. */
export function topicsOfKey(key: string, found: (topic: FeedTopic, name: string | undefined) => void): void {
  const row = ROWS.find(({ prefix }) => key.startsWith(prefix));
  if (!row) return;
  const parts = key.slice(row.prefix.length).split("/");
  for (const [topic, count] of row.topics) {
    const name = parts.slice(0, count).join("/");
    // Keys of locks have colons in the place of a name's slashes.
    found(topic, count === 0 ? undefined : topic === "locks" ? name.replaceAll(":", "/") : name);
  }
  if (row.prefix === "/config/live/" && parts[1] === GATEWAY_APP) found("routes", parts[0]);
}
