/** Services without a healthy instance. */
import type { ProblemDetector } from "./detector.ts";

export const serviceDown: ProblemDetector = {
  kind: "service-down",
  action: "registry:read",
  *find({ services, instances }) {
    for (const { namespace, service, instances: size, passing, warning } of services()) {
      const all = passing + warning > 0 ? instances(namespace, service) : [];
      if (
        all.some(({ status, lifecycle }) => lifecycle === "serving" && (status === "passing" || status === "warning"))
      )
        continue;
      yield {
        severity: "critical",
        subject: { type: "service", namespace, service },
        text:
          size === 0
            ? `Service "${service}" has a policy but no instance. Start an instance, or delete the policy.`
            : `None of the ${size} instances of service "${service}" is healthy and serving. Look at their failing checks.`,
        link: `/v1/services/${service}/instances?namespace=${namespace}`,
      };
    }
  },
};
