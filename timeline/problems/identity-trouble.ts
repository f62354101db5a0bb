/** The certificate authority cannot issue, or nodes did not renew their certificates in time. */
import type { ProblemDetector } from "./detector.ts";

/** Milliseconds before its end at which a node's certificate should have been renewed: twice, at half its life of a day. */
const LATE_MS = 6 * 3_600_000;
/** Milliseconds after the end for which a node may still exchange it. Later, the node must join again or be removed. */
const GRACE_MS = 7 * 86_400_000;

export const authorityUnusable: ProblemDetector = {
  kind: "authority-unusable",
  action: "identity:read",
  *find({ authorityProblem }) {
    const text = authorityProblem();
    if (text === undefined) return;
    yield { severity: "critical", subject: { type: "certificate", name: "authority" }, text, link: "/v1/authority" };
  },
};

export const nodeNotRenewed: ProblemDetector = {
  kind: "node-not-renewed",
  action: "identity:read",
  *find({ nodes, nowMs }) {
    for (const { kind, name, expiresAtMs } of nodes()) {
      const leftMs = expiresAtMs - nowMs;
      if (leftMs >= LATE_MS || leftMs < -GRACE_MS) continue;
      const end = new Date(expiresAtMs).toISOString();
      yield {
        severity: leftMs < 0 ? "critical" : "warning",
        subject: { type: "certificate", name: `${kind} ${name}` },
        since: new Date(expiresAtMs - LATE_MS).toISOString(),
        text:
          `The ${kind} "${name}" did not renew its certificate, which ${leftMs < 0 ? "ended" : "ends"} at ${end}. ` +
          `Look at its log. If the host is gone, remove it: posthouse node rm ${kind} ${name}.`,
        link: "/v1/nodes",
      };
    }
  },
};
