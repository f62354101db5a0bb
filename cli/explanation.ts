/** Why a request goes where it goes, in lines for people. */
import { own } from "#base";
import type { ExplainAnswer } from "#gateway/api";

/** The current state of an endpoint at the gateway of the process that answered. */
function nowOf({ clusters }: ExplainAnswer, { cluster, id }: ExplainAnswer["endpoints"][number]): string {
  const seen = own(clusters, cluster)?.endpoints.find((endpoint) => endpoint.id === id);
  if (!seen) return "";
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const parts = [
    `${seen.inFlight} in flight`,
    ...(seen.latencyMs === undefined ? [] : [`${seen.latencyMs.toFixed(1)} ms`]),
    ...(seen.ejectedMs === undefined ? [] : [`ejected for ${seconds(seen.ejectedMs)}`]),
    ...(seen.avoidedMs === undefined ? [] : [`refused, passed over for ${seconds(seen.avoidedMs)}`]),
    ...(seen.silent ? ["lets connections hang"] : []),
  ];
  return `; ${parts.join(", ")}`;
}

export function explanationText(answer: ExplainAnswer): string {
  const { request, candidates, steps, endpoints, outcome, releaseKey } = answer;
  const lines = [
    `${request.method} ${request.host}${request.path} from ${request.client} (config ${releaseKey || "none"})`,
    "",
    "routes:",
  ];
  for (const { route, verdict, reason } of candidates)
    lines.push(`  ${verdict === "chosen" ? "→" : " "} ${route}: ${reason}`);
  if (candidates.length === 0) lines.push("  none");
  if (steps.length > 0)
    lines.push("", "steps:", ...steps.map(({ step, verdict, detail }) => `  ${verdict} ${step}: ${detail}`));
  if (endpoints.length > 0) {
    lines.push("", "endpoints:");
    for (const one of endpoints) {
      lines.push(
        `  ${one.usable ? "+" : "-"} ${one.id} at ${one.address} of ${one.cluster}, weight ${one.weight}, ${one.status}, ${one.lifecycle}${nowOf(answer, one)}`,
      );
    }
  }
  for (const [cluster, { panic, breaker, adaptiveLimit }] of Object.entries(answer.clusters ?? {})) {
    const { requests, retries } = breaker;
    const adaptive = adaptiveLimit === undefined ? "" : `, ${adaptiveLimit} by latency`;
    const all = panic ? "; too few are well, so all are used" : "";
    lines.push(
      "",
      `${cluster}: ${requests.now} of ${requests.max} requests in flight${adaptive}, ${retries.now} of ${retries.max} tried again${all}`,
    );
  }
  lines.push("", "outcome:");
  if (outcome.kind === "forward") {
    lines.push(`  to ${outcome.endpoint} as ${outcome.target}`);
    for (const [name, value] of Object.entries(outcome.headers ?? {})) lines.push(`    ${name}: ${value}`);
    for (const mirror of outcome.mirrors ?? []) lines.push(`  a copy to ${mirror}`);
  } else if (outcome.kind === "answer")
    lines.push(
      `  ${outcome.status} by the gateway${outcome.headers?.["location"] === undefined ? "" : ` to ${outcome.headers["location"]}`}`,
    );
  else lines.push(`  ${outcome.status} ${outcome.code}: ${outcome.detail}`);
  return `${lines.join("\n")}\n`;
}
