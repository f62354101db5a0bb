/** What happens to a request of a route, step by step, as its config says. */
import type { HeaderEdits, LimitedBy, RouteConfig, RouteView } from "#gateway/api";
import { formatNumber } from "../../text/mod.ts";
import { formatDuration } from "../../data/time.ts";
import { configOf, ownAnswer } from "./core/summary.ts";
import { routesText } from "./text.ts";

const STEPS = ["preflight", "authenticate", "authorize", "limit", "rewrite", "balance", "upstream"] as const;
type StepName = (typeof STEPS)[number] | "answer";

const LINES: Readonly<Record<StepName, (config: RouteConfig, view: RouteView) => readonly string[]>> = {
  preflight: ({ cors }) => (cors ? [routesText().origins(cors.origins.join(", "))] : []),
  authenticate: authenticationLines,
  authorize: authorizationLines,
  limit: limitLines,
  rewrite: rewriteLines,
  answer: (config) => [ownAnswer(config) ?? ""],
  balance: (config, view) => balanceLines(config, view),
  upstream: upstreamLines,
};

export function RouteChain({ view }: { readonly view: RouteView }) {
  const text = routesText();
  const config = configOf(view);
  const isOwn = ownAnswer(config) !== undefined;
  const steps: readonly StepName[] = isOwn ? [...STEPS.slice(0, 5), "answer"] : STEPS;
  return (
    <ol class="route-chain">
      {steps.map((step) => {
        const lines = LINES[step](config, view);
        return (
          <li key={step} class={lines.length === 0 ? "empty-step" : ""}>
            <h3>{text[`step_${step}`]}</h3>
            {lines.length === 0 ? (
              <p class="muted">{text.noStep}</p>
            ) : (
              <ul>
                {lines.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            )}
          </li>
        );
      })}
    </ol>
  );
}

/** Built-in filters that find out who the caller is, and those that judge it; all others change or check the request. */
const AUTHENTICATING: ReadonlySet<string> = new Set(["key-auth"]);
const AUTHORIZING: ReadonlySet<string> = new Set(["consumer-acl", "ip-restriction"]);

function filterLines({ filters = [] }: RouteConfig, isOwn: (name: string) => boolean): readonly string[] {
  return filters.filter(({ name }) => isOwn(name)).map(({ name }) => routesText().filter(name));
}

function authenticationLines(config: RouteConfig): readonly string[] {
  const text = routesText();
  const { jwt } = config;
  const claims = Object.entries(jwt?.forwardClaims ?? {}).map(([claim, header]) => `${claim} → ${header}`);
  const lines = [
    ...(jwt ? [text.provider(jwt.provider)] : []),
    ...(claims.length === 0 ? [] : [text.forwardClaims(claims.join(", "))]),
    ...filterLines(config, (name) => AUTHENTICATING.has(name)),
  ];
  return lines.length === 0 ? [text.open] : lines;
}

function authorizationLines(config: RouteConfig): readonly string[] {
  const { acl } = config;
  return [
    ...(acl ? [routesText().anyOfRules(acl.allow.length)] : []),
    ...filterLines(config, (name) => AUTHORIZING.has(name)),
  ];
}

function byWords(by: LimitedBy): string {
  const text = routesText();
  if (typeof by === "string") return text[`by_${by}`];
  return "claim" in by ? text.byClaim(by.claim) : text.byHeader(by.header);
}

function limitLines({ rateLimit, quota, concurrency, bodyBytesMax }: RouteConfig): readonly string[] {
  const text = routesText();
  const shared = rateLimit?.scope === "cluster" ? `, ${text.shared}` : "";
  return [
    ...(rateLimit
      ? [
          text.perRate(formatNumber(rateLimit.requests), formatNumber(rateLimit.perSeconds), byWords(rateLimit.by)) +
            shared,
        ]
      : []),
    ...(quota ? [text.perQuota(formatNumber(quota.requests), text[`per_${quota.per}`], byWords(quota.by))] : []),
    ...(concurrency ? [text.concurrent(formatNumber(concurrency.requests), byWords(concurrency.by))] : []),
    ...(bodyBytesMax === undefined ? [] : [text.body(bytesText(bodyBytesMax))]),
  ];
}

function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${formatNumber(bytes / 1024)} KiB` : `${formatNumber(bytes / 1024 ** 2)} MiB`;
}

function editWords({ set = {}, add = {}, remove = [] }: HeaderEdits): string {
  const changed = [
    ...Object.keys(set),
    ...Object.keys(add).map((name) => `+${name}`),
    ...remove.map((name) => `−${name}`),
  ];
  return changed.join(", ");
}

function rewriteLines(config: RouteConfig): readonly string[] {
  const text = routesText();
  const { rewrite, requestHeaders, responseHeaders } = config;
  const regex = rewrite?.regex && `${rewrite.regex.pattern} → ${rewrite.regex.replacement}`;
  const path = rewrite?.prefix ?? rewrite?.template ?? regex;
  return [
    ...filterLines(config, (name) => !AUTHENTICATING.has(name) && !AUTHORIZING.has(name)),
    ...(path === undefined ? [] : [text.rewriteTo(path)]),
    ...(rewrite?.host === undefined ? [] : [text.rewriteHost(rewrite.host)]),
    ...(requestHeaders ? [text.requestHeaders(editWords(requestHeaders))] : []),
    ...(responseHeaders ? [text.responseHeaders(editWords(responseHeaders))] : []),
  ];
}

function balanceLines({ mirror = [], sticky }: RouteConfig, { targets }: RouteView): readonly string[] {
  const text = routesText();
  const whole = targets.reduce((sum, { weight }) => sum + weight, 0);
  const nameOf = (target: { readonly service?: string; readonly cluster?: string }) =>
    target.service ?? (target.cluster ?? "").replace(/^cluster:/, "");
  return [
    ...targets.map((target) =>
      targets.length === 1
        ? nameOf(target)
        : `${nameOf(target)} · ${text.share(formatNumber(whole === 0 ? 0 : (target.weight / whole) * 100))}`,
    ),
    ...mirror.map((one) => text.mirrorTo(nameOf(one), formatNumber(one.percent ?? 100))),
    ...(sticky ? [text.stickyBy(sticky.cookie ?? "posthouse-sticky")] : []),
  ];
}

function upstreamLines({ timeouts = {}, retry, cache }: RouteConfig): readonly string[] {
  const text = routesText();
  const { totalMs, headersMs } = timeouts;
  const limit = totalMs ?? headersMs;
  return [
    ...(retry?.attempts === undefined ? [] : [text.retries(retry.attempts)]),
    ...(limit === undefined ? [] : [text.timeLimit(formatDuration(limit))]),
    ...(cache ? [text.cached] : []),
  ];
}
