/**
 * Kong's plugins as parts of a route. A new plugin is a row here. Plugins without a row become notes.
 * A plugin of the route counts before that of its service, and that before a global one, as in Kong.
 */
import { own } from "#base";
import type { Conversion } from "./conversion.ts";
import { asList, asNumber, asObject, asText, asTexts, type Fields } from "./documents.ts";
import { itemName, type KongService, type RouteDraft } from "./kong-names.ts";

interface PluginContext {
  readonly document: Fields;
  readonly route: Fields;
  readonly service: KongService;
  readonly result: Conversion;
  readonly where: string;
}

interface PluginUse {
  readonly config: Fields;
  readonly draft: RouteDraft;
  /** Whether another plugin of the route tells consumers apart. */
  readonly identifies: boolean;
  readonly note: (text: string) => void;
}

export function applyPlugins(draft: RouteDraft, { document, route, service, result, where }: PluginContext): void {
  const isOf = (plugin: Fields, field: string, name: string) =>
    [asText(own(plugin, field)), asText(asObject(own(plugin, field))["name"])].includes(name);
  const global = asList(document["plugins"]).map(asObject);
  const isScoped = (plugin: Fields) => ["service", "route", "consumer"].some((field) => own(plugin, field) != null);
  const found = new Map<string, Fields>();
  for (const plugin of [
    ...global.filter((one) => !isScoped(one)),
    ...global.filter((one) => isOf(one, "service", service.name) && one["route"] == null),
    ...asList(service.given["plugins"]).map(asObject),
    ...global.filter((one) => asText(route["name"]) !== "" && isOf(one, "route", asText(route["name"]))),
    ...asList(route["plugins"]).map(asObject),
  ]) {
    if (plugin["consumer"] != null)
      result.note(where, `the plugin ${asText(plugin["name"])} of one consumer is not converted`);
    else found.set(asText(plugin["name"]), plugin);
  }
  const enabled = [...found].filter(([, plugin]) => plugin["enabled"] !== false);
  const identifies = enabled.some(([name]) => name === "key-auth");
  for (const [name, plugin] of enabled) {
    const note = (text: string) => result.note(where, `${name}: ${text}`);
    const row = own(PLUGINS, name);
    if (row) row({ config: asObject(plugin["config"]), draft, identifies, note });
    else note(own(BUILT_IN, name) ?? "not converted");
  }
  // The gateway rejects what has no effect on an answer of its own.
  if (draft["respond"] !== undefined) for (const field of FORWARDING) delete draft[field];
}

/** Fields of a route that only matter when it forwards requests. */
const FORWARDING = ["cluster", "rewrite", "retry", "requestHeaders"] as const;

/** Plugins that need no config here, or another part of the program. */
const BUILT_IN: Readonly<Record<string, string>> = {
  prometheus: "dropped; every gateway has /metrics",
  opentelemetry: "dropped; set otlpUrl in the settings of the gateway",
  zipkin: "dropped; set otlpUrl in the settings of the gateway",
  "correlation-id": "dropped; every request has a traceparent",
  "file-log": "dropped; failed requests are in the log of the gateway, all in its metrics and traces",
  jwt: "not converted. Add a provider with its JWKS to `jwt`; shared secrets (HS256) are not supported",
  "openid-connect": "not converted. Add a provider to `jwt`, which verifies tokens but has no login pages",
  "proxy-cache": "not converted. Add `cache` to the route",
};

type PluginRow = (use: PluginUse) => void;

const PLUGINS: Readonly<Record<string, PluginRow>> = {
  "key-auth"({ config, draft, note }) {
    const [header = "apikey", ...others] = asTexts(config["key_names"]);
    if (others.length > 0) note(`only the header "${header}" is read, not ${others.join(", ")}`);
    if (config["key_in_body"] === true) note("keys in bodies are not read");
    if (asText(config["anonymous"]) !== "") note("callers without a key are rejected (anonymous)");
    addFilter(draft, "key-auth", { header, ...(config["hide_credentials"] === false ? { keepKey: true } : {}) });
  },
  acl({ config, draft }) {
    const groups = (field: string) => asTexts(own(config, field)).map(itemName);
    const [allow, deny] = [groups("allow"), groups("deny")];
    addFilter(draft, "consumer-acl", {
      ...(allow.length > 0 ? { allow: { groups: allow } } : {}),
      ...(deny.length > 0 ? { deny: { groups: deny } } : {}),
    });
  },
  "ip-restriction"({ config, draft }) {
    const { allow, deny } = { allow: asTexts(config["allow"]), deny: asTexts(config["deny"]) };
    addFilter(draft, "ip-restriction", {
      ...(allow.length > 0 ? { allow } : {}),
      ...(deny.length > 0 ? { deny } : {}),
    });
  },
  "rate-limiting": rateLimit,
  "request-size-limiting"({ config, draft }) {
    const unit = own({ bytes: 1, kilobytes: 1_000, megabytes: 1_000_000 }, asText(config["size_unit"])) ?? 1_000_000;
    draft["bodyBytesMax"] = (asNumber(config["allowed_payload_size"]) ?? 128) * unit;
  },
  cors,
  "request-transformer": (use) => transform(use, "requestHeaders"),
  "response-transformer": (use) => transform(use, "responseHeaders"),
  "request-termination"({ config, draft }) {
    const message = asText(config["message"]);
    const body = asText(config["body"]) || (message === "" ? "" : JSON.stringify({ message }));
    const contentType = asText(config["content_type"]) || "application/json";
    draft["respond"] = {
      status: asNumber(config["status_code"]) ?? 503,
      ...(body === "" ? {} : { body, contentType }),
    };
  },
};

function addFilter(draft: RouteDraft, name: string, config: object): void {
  draft["filters"] = [...asList(draft["filters"]), { name, config }];
}

const WINDOWS = [
  ["second", 1],
  ["minute", 60],
  ["hour", 3_600],
] as const;

function rateLimit({ config, draft, identifies, note }: PluginUse): void {
  const given = asText(config["limit_by"]) || "consumer";
  const by =
    given === "header"
      ? { header: asText(config["header_name"]) }
      : given === "service" || given === "path"
        ? "route"
        : given !== "ip" && identifies
          ? "consumer"
          : "ip";
  if (by === "route") note("each route has a limit of its own");
  const windows = WINDOWS.filter(([name]) => asNumber(config[name]) !== undefined);
  const [window] = windows;
  if (windows.length > 1) note(`only the limit per ${window?.[0]} is converted; a route has one rate`);
  const scope = ["cluster", "redis"].includes(asText(config["policy"])) ? { scope: "cluster" } : {};
  if (window) draft["rateLimit"] = { requests: config[window[0]], perSeconds: window[1], by, ...scope };
  for (const per of ["day", "month"] as const) {
    const requests = asNumber(config[per]);
    if (requests === undefined) continue;
    if (draft["quota"] === undefined) draft["quota"] = { requests, per, by };
    else note(`the limit per ${per} is not converted; a route has one quota`);
  }
  if (config["year"] != null) note("the limit per year is not converted");
}

const AGE_MAX = 86_400;

function cors({ config, draft, note }: PluginUse): void {
  const all = asTexts(config["origins"]);
  const origins = all.filter((origin) => origin === "*" || /^https?:\/\/[\w.*:-]+$/.test(origin));
  if (origins.length < all.length) note("origins that are regular expressions are not converted");
  if (all.length > 0 && origins.length === 0) return;
  const wanted = config["credentials"] === true;
  const isOpen = all.length === 0 || origins.includes("*");
  if (wanted && isOpen) note("credentials are off, because all origins are allowed. List the origins");
  const headers = asTexts(config["headers"]);
  const exposeHeaders = asTexts(config["exposed_headers"]);
  const methods = asTexts(config["methods"]).filter((method) => !["TRACE", "CONNECT"].includes(method));
  const age = asNumber(config["max_age"]);
  draft["cors"] = {
    origins: isOpen ? ["*"] : origins,
    ...(methods.length > 0 ? { methods } : {}),
    headers: headers.length > 0 ? headers : ["*", "authorization"],
    ...(exposeHeaders.length > 0 ? { exposeHeaders } : {}),
    ...(wanted && !isOpen ? { credentials: true } : {}),
    ...(age === undefined ? {} : { maxAgeSeconds: Math.min(age, AGE_MAX) }),
  };
}

/** `add` only sets an absent header in Kong. Here it replaces the client's, so that no client chooses the value. */
function transform({ config, draft, note }: PluginUse, field: "requestHeaders" | "responseHeaders"): void {
  const pairs = (action: string) =>
    asTexts(asObject(own(config, action))["headers"]).map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
  const set = { ...Object.fromEntries(pairs("add")), ...Object.fromEntries(pairs("replace")) };
  const add = Object.fromEntries(pairs("append"));
  const remove = asTexts(asObject(config["remove"])["headers"]);
  for (const [action, parts] of Object.entries(config)) {
    for (const [part, values] of Object.entries(asObject(parts))) {
      const isDone = part === "headers" && ["add", "replace", "append", "remove"].includes(action);
      if (!isDone && asList(values).length > 0) note(`${action}.${part} is not converted`);
    }
  }
  if (asText(config["http_method"]) !== "") note("http_method is not converted");
  draft[field] = {
    ...(Object.keys(set).length > 0 ? { set } : {}),
    ...(Object.keys(add).length > 0 ? { add } : {}),
    ...(remove.length > 0 ? { remove } : {}),
  };
}
