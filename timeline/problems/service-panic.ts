/** Services with fewer healthy instances than their policy requires. */
import type { Instance } from "#registry/api";
import type { ProblemDetector } from "./detector.ts";

export const servicePanic: ProblemDetector = {
  kind: "service-panic",
  action: "registry:read",
  *find({ services, instances }) {
    for (const { namespace, service, panic, reason, passing, warning } of services()) {
      if (!panic || passing + warning === 0) continue;
      const since = lastFailure(instances(namespace, service));
      yield {
        severity: "warning",
        subject: { type: "service", namespace, service },
        ...(since === undefined ? {} : { since }),
        text: `Service "${service}" is in panic, so requests go to unhealthy instances, too: ${reason ?? "too few are healthy"}.`,
        link: `/v1/services/${service}?namespace=${namespace}`,
      };
    }
  },
};

/** When the latest check failed: with fewer failing instances, the service was not in panic. */
function lastFailure(all: readonly Instance[]): string | undefined {
  const starts = all.flatMap(({ checks }) =>
    checks.flatMap(({ status, since }) => (status === "critical" && since !== undefined ? [since] : [])),
  );
  return starts.sort().at(-1);
}
