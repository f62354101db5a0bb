/** Services with fewer healthy instances than their policy requires. */
import type { ProblemDetector } from "./detector.ts";

export const servicePanic: ProblemDetector = {
  kind: "service-panic",
  action: "registry:read",
  *find({ services }) {
    for (const { namespace, service, panic, reason, passing, warning } of services()) {
      if (!panic || passing + warning === 0) continue;
      yield {
        severity: "warning",
        subject: { type: "service", namespace, service },
        text: `Service "${service}" is in panic, so requests go to unhealthy instances, too: ${reason ?? "too few are healthy"}.`,
        link: `/v1/services/${service}?namespace=${namespace}`,
      };
    }
  },
};
