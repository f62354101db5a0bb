/** Kong's routes as routes of the gateway: one for each path, with the plugins that apply to it. */
import { own } from "#base";
import type { Conversion } from "./conversion.ts";
import { asList, asNumber, asObject, asText, asTexts, type Fields } from "./documents.ts";
import { itemName, type KongService, type RouteDraft } from "./kong-names.ts";
import { applyPlugins } from "./kong-plugins.ts";

export interface RouteContext {
  readonly services: ReadonlyMap<string, KongService>;
  readonly result: Conversion;
}

const ATTEMPTS_MAX = 5;

export function convertRoutes(document: Fields, context: RouteContext): RouteDraft[] {
  const all = [
    ...asList(document["services"])
      .map(asObject)
      .flatMap((service) =>
        asList(service["routes"]).map((route): [string, Fields] => [
          nameOf(service) || asText(service["host"]),
          asObject(route),
        ]),
      ),
    ...asList(document["routes"]).map((given): [string, Fields] => {
      const route = asObject(given);
      return [reference(route["service"]), route];
    }),
  ];
  const names = new Set<string>();
  return all.flatMap(([serviceName, route], index) => {
    const label = nameOf(route) || `${serviceName || "route"}-${index + 1}`;
    const service = context.services.get(serviceName);
    const where = `route ${label}`;
    const why = unsupported(route, service);
    if (why !== undefined) {
      context.result.note(where, `not converted, because ${why}`);
      return [];
    }
    remarks(context.result, where, route);
    const paths = asTexts(route["paths"]);
    const drafts = (paths.length > 0 ? paths : [undefined]).flatMap((path, at) => {
      const base = itemName(at === 0 ? label : `${label}-${at + 1}`);
      let name = base;
      for (let count = 2; names.has(name); count++) name = `${base}-${count}`;
      names.add(name);
      return draftsOf({ name, path, route, service: service as KongService });
    });
    // As in Kong, a redirect to https comes before all plugins.
    for (const draft of drafts.filter(({ redirect }) => redirect === undefined))
      applyPlugins(draft, { document, route, service: service as KongService, ...context, where });
    return drafts;
  });
}

const nameOf = (given: Fields) => asText(given["name"]) || asText(given["id"]);

/** `service: orders` or `service: { name: orders }`. */
function reference(given: unknown): string {
  return asText(given) || nameOf(asObject(given));
}

function unsupported(route: Fields, service: KongService | undefined): string | undefined {
  if (service === undefined) return "it has no service that was converted";
  if (route["expression"] !== undefined) return "it matches by an expression. Write `match` by hand";
  const protocols = asTexts(route["protocols"]);
  const foreign = protocols.filter((name) => !["http", "https", "grpc", "grpcs"].includes(name));
  return foreign.length > 0 ? `the gateway has no protocol "${foreign.join(", ")}"` : undefined;
}

function remarks(result: Conversion, where: string, route: Fields): void {
  if (route["preserve_host"] === true) {
    result.note(where, "services receive the client's host in x-forwarded-host, not in Host (preserve_host)");
  }
  for (const field of ["snis", "destinations"]) {
    if (asList(own(route, field)).length > 0) result.note(where, `${field} is not converted. Use listeners with hosts`);
  }
  if ((asNumber(route["regex_priority"]) ?? 0) !== 0) {
    result.note(where, "regex_priority is not converted. Longer patterns go first; see `priority`");
  }
}

interface DraftParts {
  readonly name: string;
  readonly path: string | undefined;
  readonly route: Fields;
  readonly service: KongService;
}

function draftsOf({ name, path, route, service }: DraftParts): RouteDraft[] {
  const match = { ...conditionsOf(route), ...pathMatch(path) };
  const attempts =
    service.retries === undefined ? {} : { retry: { attempts: Math.min(service.retries, ATTEMPTS_MAX) } };
  const rewrite = rewriteOf(path, route["strip_path"] !== false, service.path);
  const protocols = asTexts(route["protocols"]);
  const only = protocols.length > 0 && protocols.every((one) => one.endsWith("s")) ? { scheme: "https" } : {};
  const draft = {
    name,
    match: { ...match, ...only },
    cluster: service.cluster.name,
    ...(rewrite ? { rewrite } : {}),
    ...attempts,
  };
  const status = asNumber(route["https_redirect_status_code"]) ?? 426;
  if (!("scheme" in only) || status === 426) return [draft];
  return [
    draft,
    { name: itemName(`${name}-to-https`), match: { ...match, scheme: "http" }, redirect: { scheme: "https", status } },
  ];
}

function conditionsOf(route: Fields) {
  const hosts = asTexts(route["hosts"]).map((host) => host.replace(/:\d+$/, ""));
  const methods = asTexts(route["methods"]);
  const headers = Object.entries(asObject(route["headers"])).map(([name, values]) =>
    headerMatch(name, asTexts(values)),
  );
  const sources = asList(route["sources"])
    .map((one) => asText(asObject(one)["ip"]))
    .filter(Boolean);
  return {
    ...(hosts.length > 0 ? { hosts: [...new Set(hosts)] } : {}),
    ...(methods.length > 0 ? { methods } : {}),
    ...(headers.length > 0 ? { headers } : {}),
    ...(sources.length > 0 ? { sourceCidrs: sources } : {}),
  };
}

/** Any of the values. A value that begins with `~*` is a regular expression that ignores case. */
function headerMatch(name: string, values: readonly string[]) {
  const [only = ""] = values;
  if (values.length === 1 && !only.startsWith("~*")) return { name, exact: only };
  const options = values.map((value) => (value.startsWith("~*") ? `(?i:.*(?:${value.slice(2)}).*)` : literal(value)));
  return { name, regex: options.join("|") };
}

const literal = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** Kong's expressions begin at the start of a path and may end before its end. */
const openRegex = (path: string) => path.slice(1).replace(/^\^/, "");

function pathMatch(path: string | undefined) {
  if (path === undefined) return {};
  if (!path.startsWith("~")) return { path: { prefix: withoutEnd(path) } };
  const regex = openRegex(path);
  return { path: { regex: regex.endsWith("$") ? regex.slice(0, -1) : `(?:${regex}).*` } };
}

const withoutEnd = (path: string) => path.replace(/\/+$/, "") || "/";

/** The path that the service receives: its own path, and what follows the match or, without strip_path, the whole path. */
function rewriteOf(path: string | undefined, strip: boolean, servicePath: string) {
  const front = servicePath === "" ? "/" : servicePath;
  if (path?.startsWith("~")) {
    const regex = openRegex(path).replace(/\$$/, "");
    if (strip)
      return { regex: { pattern: `^(?:${regex})/?`, replacement: servicePath === "" ? "/" : `${servicePath}/` } };
    return servicePath === "" ? undefined : { regex: { pattern: "^/", replacement: `${servicePath}/` } };
  }
  const prefix = withoutEnd(path ?? "/");
  const target = strip ? front : `${servicePath}${prefix === "/" ? "" : prefix}` || "/";
  return target === prefix
    ? undefined
    : path === undefined
      ? { regex: { pattern: "^/", replacement: `${front === "/" ? "" : front}/` } }
      : { prefix: target };
}
