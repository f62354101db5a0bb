/** The facts that a detector of problems reads, and the problems that it finds. A detector is one file and one row in mod.ts. */
import type { AcknowledgementView, SetName } from "#config-server/api";
import type { Action } from "#http";
import type { Instance, Panic, ServiceSummary } from "#registry/api";
import type { StoredChange } from "#changes";
import type { ChangeKind, Problem } from "../api.ts";

/** The views of this member, as functions so that a detector reads only what it needs. */
export interface ProblemFacts {
  readonly nowMs: number;
  readonly services: () => Iterable<ServiceSummary & Panic>;
  readonly instances: (namespace: string, service: string) => readonly Instance[];
  /** The last output of a check on this member. */
  readonly output: (instance: Instance, check: string) => string | undefined;
  /** Subscribers that acknowledged something else than the config they should have, by set. */
  readonly acknowledgements: () => Iterable<{
    readonly set: SetName;
    readonly dueAtMs: number;
    readonly subscribers: readonly AcknowledgementView[];
  }>;
  readonly pausedRollouts: () => Iterable<{
    readonly set: SetName;
    readonly version: number;
    readonly stage: number;
    readonly because: string;
  }>;
  readonly unreadableSecrets: () => Iterable<{ readonly set: SetName; readonly key: string }>;
  /** Parts of this member that do not hear from the store. `sinceMs`: the last sign of life; absent before the first one. */
  readonly silentParts: () => readonly { readonly name: string; readonly sinceMs?: number }[];
  /** Functions that are unavailable, for people. */
  readonly degraded: () => readonly string[];
  /** `renewsBeforeMs`: it renews itself, that long before its end at the latest. */
  readonly certificates: () => readonly {
    readonly name: string;
    readonly expiresAtMs: number;
    readonly renewsBeforeMs?: number;
  }[];
  /** Why the certificate authority cannot issue; undefined: it can, or there is none. */
  readonly authorityProblem: () => string | undefined;
  /** Nodes that joined, and when the last certificate of each ends. */
  readonly nodes: () => Iterable<{ readonly kind: string; readonly name: string; readonly expiresAtMs: number }>;
  /** Entries of the log of changes, newest first. */
  readonly latestChanges: (kinds: ReadonlySet<ChangeKind>) => readonly StoredChange[];
}

export type FoundProblem = Omit<Problem, "kind" | "id">;

export interface ProblemDetector {
  /** The kinds of the problems that it finds are this, on the wire. */
  readonly kind: string;
  /** The action that a reader must be allowed. */
  readonly action: Action;
  readonly find: (facts: ProblemFacts) => Iterable<FoundProblem>;
}
