/** The registry: services, their instances, and the health of these. */
export * from "./api.ts";
export { Drains } from "./drains.ts";
export { Members, MEMBERS_PREFIX } from "./members.ts";
export { membersPlugin } from "./members-plugin.ts";
export { registryPlugin } from "./plugin.ts";
export { Prober } from "./prober.ts";
export { Reaper } from "./reaper.ts";
export { Registry } from "./registry.ts";
