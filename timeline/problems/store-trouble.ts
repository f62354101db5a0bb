/** The store of this member: it does not answer, or it works only in part. */
import type { ProblemDetector } from "./detector.ts";

export const storeUnreachable: ProblemDetector = {
  kind: "store-unreachable",
  action: "registry:read",
  *find({ silentParts }) {
    for (const { name, sinceMs } of silentParts()) {
      yield {
        severity: "critical",
        subject: { type: "store", name },
        ...(sinceMs === undefined ? {} : { since: new Date(sinceMs).toISOString() }),
        text: `The ${name} of this member does not hear from the store, so its data may be old. Look at the store and the network.`,
        link: "/readyz",
      };
    }
  },
};

export const storeDegraded: ProblemDetector = {
  kind: "store-degraded",
  action: "registry:read",
  *find({ degraded }) {
    for (const [index, text] of degraded().entries()) {
      yield { severity: "critical", subject: { type: "store", name: `degraded-${index}` }, text, link: "/readyz" };
    }
  },
};
