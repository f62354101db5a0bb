/** Members of the control plane that disappeared without stopping, until another one joins. */
import type { ChangeKind } from "../api.ts";
import type { ProblemDetector } from "./detector.ts";

/** Milliseconds after which a member that did not return counts as removed for good. */
const SHOWN_MS = 86_400_000;
const KINDS: ReadonlySet<ChangeKind> = new Set(["member-joined", "member-left"]);

export const memberUnreachable: ProblemDetector = {
  kind: "member-unreachable",
  action: "registry:read",
  *find({ latestChanges, nowMs }) {
    let joined = 0;
    for (const { kind, subject, at, to } of latestChanges(KINDS)) {
      if (kind === "member-joined") joined++;
      if (kind !== "member-left" || to === "stopped" || nowMs - Date.parse(at) > SHOWN_MS) continue;
      // A restarted member has a new ID, so each later arrival accounts for one departure.
      if (joined-- > 0) continue;
      joined = 0;
      yield {
        severity: "warning",
        subject,
        since: at,
        text: `Member "${subject.name}" of the control plane disappeared without stopping. Look at its host, or ignore this if it was removed.`,
        link: "/v1/members",
      };
    }
  },
};
