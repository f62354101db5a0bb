/** Instances with a failing check: one detector for each of the two statuses. */
import type { FoundProblem, ProblemDetector, ProblemFacts } from "./detector.ts";

export const instanceCritical = detectorOf("critical");
export const instanceWarning = detectorOf("warning");

function detectorOf(status: "critical" | "warning"): ProblemDetector {
  return { kind: `instance-${status}`, action: "registry:read", find: (facts) => unhealthy(facts, status) };
}

function* unhealthy(
  { services, instances, output }: ProblemFacts,
  status: "critical" | "warning",
): Iterable<FoundProblem> {
  for (const summary of services()) {
    if (summary[status] === 0) continue;
    const { namespace, service } = summary;
    for (const instance of instances(namespace, service)) {
      if (instance.status !== status) continue;
      const check = instance.checks.find((one) => one.status === status);
      const said = check && output(instance, check.id);
      yield {
        severity: "warning",
        subject: { type: "instance", namespace, service, instance: instance.id },
        ...(check?.since === undefined ? {} : { since: check.since }),
        text: `Check "${check?.id}" of instance "${instance.id}" of service "${service}" is ${status}${said === undefined ? "." : `: ${said}`}`,
        link: `/v1/services/${service}/instances/${instance.id}/health?namespace=${namespace}`,
      };
    }
  }
}
