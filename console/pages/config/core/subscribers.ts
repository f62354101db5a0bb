/** Subscribers of a config with what each one runs. */
import type { AcknowledgementList, Labels } from "#config-server/api";

/** `gone`: it no longer follows the config. `silent`: it follows it and has acknowledged nothing. */
export type SubscriberState = "failed" | "silent" | "behind" | "applied" | "gone";

export interface SubscriberRow {
  readonly id: string;
  readonly state: SubscriberState;
  readonly labels: Labels;
  /** The release of this set within what it runs. */
  readonly version: number | undefined;
  readonly lateMs: number | undefined;
  readonly error: string;
  readonly at: string;
}

export function subscriberRows({ subscribers, silent }: AcknowledgementList, setId: string): SubscriberRow[] {
  return [
    ...subscribers.map(({ subscriber, labels, outcome, current, present, versions, lateMs, error = "", at }) => ({
      id: subscriber,
      state: !present && !current ? ("gone" as const) : !current ? ("behind" as const) : outcome,
      labels,
      version: versions?.[setId],
      lateMs,
      error,
      at,
    })),
    ...silent.map(({ subscriber, labels, since }) => ({
      id: subscriber,
      state: "silent" as const,
      labels,
      version: undefined,
      lateMs: undefined,
      error: "",
      at: since,
    })),
  ];
}
