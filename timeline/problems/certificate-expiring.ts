/** Certificates of this process that end soon. */
import type { ProblemDetector } from "./detector.ts";

/** Days before the end at which it is a problem: a certificate that renews itself has been replaced by then. */
const WARN_DAYS = 14;
const DAY_MS = 86_400_000;

export const certificateExpiring: ProblemDetector = {
  kind: "certificate-expiring",
  action: "registry:read",
  *find({ certificates, nowMs }) {
    for (const { name, expiresAtMs, renewsBeforeMs } of certificates()) {
      const days = Math.floor((expiresAtMs - nowMs) / DAY_MS);
      const warnMs = renewsBeforeMs ?? WARN_DAYS * DAY_MS;
      if (expiresAtMs - nowMs >= warnMs) continue;
      yield {
        severity: days < 0 ? "critical" : "warning",
        subject: { type: "certificate", name },
        since: new Date(expiresAtMs - warnMs).toISOString(),
        text:
          days < 0
            ? `The certificate of the ${name} has expired. Replace it.`
            : `The certificate of the ${name} expires in ${days} days. Replace it, or restart the process if posthouse created it.`,
      };
    }
  },
};
