/** Live secrets that cannot be decrypted. */
import type { ProblemDetector } from "./detector.ts";

export const secretUnreadable: ProblemDetector = {
  kind: "secret-unreadable",
  action: "config:read",
  *find({ unreadableSecrets }) {
    for (const { set, key } of unreadableSecrets()) {
      const { namespace, app, profile } = set;
      yield {
        severity: "critical",
        subject: { type: "set", ...set, name: key },
        text: `The secret "${key}" of "${namespace}/${app}/${profile}" cannot be decrypted. Restore its key, or release a new value.`,
        link: "/v1/config-secrets",
      };
    }
  },
};
