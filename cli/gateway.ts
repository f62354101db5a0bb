/**
 * Commands about the gateway: check a config before it is released, make an API key, ask why a request goes where it
 * goes.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { messageOf, own } from "#base";
import { systemHost } from "#base/system";
import type { Located } from "#base/yaml";
import { GatewayErrors, type ExplainAnswer, type ExplainRequest } from "#gateway/api";
import { loadExplain, loadFilters, parseGatewayConfig } from "#gateway/release";
import type { LoadedSettings } from "#settings";
import { withControlClient } from "./control-client.ts";

/** Bytes of an API key: no one guesses 2^256, so that its hash may lie in a config. */
const KEY_BYTES = 32;

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw GatewayErrors.CONFIG_INVALID(`${path} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}

function line(path: string, { line, column, pointer, message }: Located): string {
  const place = line === undefined ? path : `${path}:${line}:${column}`;
  return `${place}: ${pointer === "" ? "" : `${pointer}: `}${message}\n`;
}

/** The check of a release, without one. True when a gateway would take the file. */
export async function validateFile({ values }: LoadedSettings, path: string): Promise<boolean> {
  const parsed = parseGatewayConfig(await read(path), await loadFilters(values.gatewayFilters));
  for (const problem of parsed.problems) process.stderr.write(line(path, problem));
  if (!parsed.config) return false;
  for (const warning of parsed.warnings) process.stderr.write(line(path, warning).replace(": ", ": warning: "));
  const { routes = [], clusters = [], consumers = [] } = parsed.config;
  process.stdout.write(
    `${path} is valid: ${routes.length} routes, ${clusters.length} clusters, ${consumers.length} consumers\n`,
  );
  return true;
}

/** A new key for a consumer, and what the config is to know of it. */
export function printKey(): void {
  const key = randomBytes(KEY_BYTES).toString("base64url");
  process.stdout.write(`key:    ${key}\nsha256: ${createHash("sha256").update(key).digest("hex")}\n`);
}

export interface RouteTest {
  readonly request: ExplainRequest;
  /** Asked in the place of what is released. */
  readonly file: string | undefined;
  readonly json: boolean;
}

export async function testRoute(settings: LoadedSettings, { request, file, json }: RouteTest): Promise<void> {
  const { values } = settings;
  let answer: ExplainAnswer;
  if (file === undefined) answer = await withControlClient(settings, (client) => client.gateway.explain(request));
  else {
    const { Explainer } = await loadExplain();
    const host = systemHost({ logLevel: values.logLevel });
    const parts = { filters: await loadFilters(values.gatewayFilters), config: () => read(file) };
    answer =
      values.token === undefined
        ? await new Explainer(host, { client: undefined, ...parts }).explain(request)
        : await withControlClient(settings, (client) => new Explainer(host, { client, ...parts }).explain(request));
  }
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : inWords(answer));
}

/** What the gateway in the process that was asked sees of an endpoint. */
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

function inWords(answer: ExplainAnswer): string {
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
