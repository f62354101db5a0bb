/** Services without a healthy instance. */
import type { Instance } from "#registry/api";
import type { ProblemDetector } from "./detector.ts";

export const serviceDown: ProblemDetector = {
  kind: "service-down",
  action: "registry:read",
  *find({ services, instances }) {
    for (const { namespace, service, instances: size, passing, warning } of services()) {
      const all = instances(namespace, service);
      const isHealthy = ({ status, lifecycle }: Instance) =>
        lifecycle === "serving" && (status === "passing" || status === "warning");
      if (passing + warning > 0 && all.some(isHealthy)) continue;
      const since = downSince(all);
      yield {
        severity: "critical",
        subject: { type: "service", namespace, service },
        ...(since === undefined ? {} : { since }),
        text:
          size === 0
            ? `Service "${service}" has a policy but no instance. Start an instance, or delete the policy.`
            : `None of the ${size} instances of service "${service}" is healthy and serving. Look at their failing checks.`,
        link: `/v1/services/${service}/instances?namespace=${namespace}`,
      };
    }
  },
};

/** When the last instance became critical; undefined if that is not known of each, as of a drain. */
function downSince(all: readonly Instance[]): string | undefined {
  const starts = all.map(
    ({ checks }) =>
      checks.flatMap(({ status, since }) => (status === "critical" && since !== undefined ? [since] : [])).sort()[0],
  );
  return starts.includes(undefined)
    ? undefined
    : starts.reduce((last, start) => ((start ?? "") > (last ?? "") ? start : last), "");
}
