/** A reader's request for a watch, and how operators see it. */
import type { Principal } from "../principal.ts";
import type { TopicFilter } from "./topic-filter.ts";

export interface Subscription {
  readonly topics: readonly string[];
  /** Changes that it does not see are not written to it, and are not waited for. Absent: it sees all of its topics. */
  readonly sees?: TopicFilter | undefined;
  /** Last-Event-ID: the reader knows everything up to this revision. */
  readonly after: number | undefined;
  /** The current state in pieces, each the data of one snapshot frame. Taken at once, sent at the reader's pace. */
  readonly snapshot: () => Iterable<unknown>;
  /**
   * Replaces the ring for topics whose deltas are whole documents: what changed since a revision. Empty: nothing changed.
   * The topic need not be in the ring then.
   */
  readonly since?: (revision: number) => Iterable<unknown>;
  /** Called once, when the subscriber has gone. */
  readonly onEnd?: () => void;
  /** The reader's own name, when it acknowledges revisions. */
  readonly subscriber?: string | undefined;
  /** The caller that opened the watch. Only this principal acknowledges for it, or resumes it after a cut. */
  readonly principal?: Pick<Principal, "id" | "name">;
}

/** One open watch, for operators. Revisions are those of the hub; `seenRevision` is 0 before an acknowledgement. */
export interface WatcherInfo {
  readonly id: string;
  readonly subscriber?: string;
  readonly principal: string;
  readonly topics: readonly string[];
  readonly since: string;
  readonly sentRevision: number;
  readonly seenRevision: number;
}

/** The revision that a reader asks to resume after; undefined when the header is absent or is not a revision. */
export function lastEventId(headers: Record<string, string | string[] | undefined>): number | undefined {
  const value = headers["last-event-id"];
  if (typeof value !== "string" || !/^\d{1,15}$/.test(value)) return undefined;
  return Number(value);
}
