/** Changes that happened: their kinds of changes, and the log that modules write them to. */
export * from "./api.ts";
export { CHANGES_PREFIX, changeId, ChangeLog, type ChangeEntry, type StoredChange } from "./log.ts";
