/** The timeline: what changed, what is wrong now, and the feed that tells consoles to read again. */
export * from "./api.ts";
export { Feed } from "./feed.ts";
export { timelinePlugin } from "./plugin.ts";
export { Presence } from "./presence.ts";
export type { ProblemFacts } from "./problems/detector.ts";
export { problemsIn } from "./problems/mod.ts";
export { Timeline } from "./timeline.ts";
