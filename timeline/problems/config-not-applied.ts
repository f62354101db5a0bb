/** Subscribers, gateways among them, that rejected a config, or run an older one than they should. */
import type { AcknowledgementView, SetName } from "#config-server/api";
import type { Subject } from "../api.ts";
import type { ProblemDetector } from "./detector.ts";

/** Milliseconds that a subscriber may take to apply a config: as long as a stage of a rollout waits by default. */
const BEHIND_MS = 120_000;
/** The app that gateways follow. */
const GATEWAY_APP = "gateway";

export const configRejected: ProblemDetector = {
  kind: "config-rejected",
  action: "config:read",
  *find({ acknowledgements }) {
    for (const { set, subscribers } of acknowledgements()) {
      for (const one of subscribers) {
        if (one.outcome !== "failed" || !one.current) continue;
        yield {
          severity: "warning",
          subject: subjectOf(set, one),
          since: one.at,
          text: `"${one.subscriber}" rejected the config of "${nameOf(set)}"${one.error === undefined ? "." : `: ${one.error}`}`,
          link: linkOf(set),
        };
      }
    }
  },
};

export const configBehind: ProblemDetector = {
  kind: "config-behind",
  action: "config:read",
  *find({ acknowledgements, nowMs }) {
    for (const { set, subscribers, dueAtMs } of acknowledgements()) {
      if (nowMs - dueAtMs < BEHIND_MS) continue;
      for (const one of subscribers) {
        if (one.current || !one.present) continue;
        yield {
          severity: "warning",
          subject: subjectOf(set, one),
          since: new Date(dueAtMs).toISOString(),
          text: `"${one.subscriber}" runs an older config of "${nameOf(set)}". Look at its log, or restart it.`,
          link: linkOf(set),
        };
      }
    }
  },
};

function nameOf({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

function subjectOf(set: SetName, { subscriber }: AcknowledgementView): Subject {
  return { type: set.app === GATEWAY_APP ? "gateway" : "set", ...set, name: subscriber };
}

function linkOf({ namespace, app, profile }: SetName): string {
  return `/v1/config/${namespace}/${app}/${profile}/acknowledgements`;
}
