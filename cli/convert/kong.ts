/**
 * Kong's declarative config (`deck gateway dump`, `kong config db_export`) as a config of the gateway. Each service becomes a cluster
 * with fixed endpoints, so that the routes work before anything registers. Each path of a route becomes a route.
 */
import { bareHost, own } from "#base";
import { createHash } from "node:crypto";
import { stringify } from "yaml";
import { CliErrors } from "../errors.ts";
import { Conversion, type Convert, NAMESPACE_DEFAULT } from "./conversion.ts";
import { asList, asNumber, asObject, asText, asTexts, type Fields, readDocument } from "./documents.ts";
import { itemName, type KongService } from "./kong-names.ts";
import { convertRoutes } from "./kong-routes.ts";

const PORT_BY_PROTOCOL: Readonly<Record<string, number>> = { http: 80, https: 443, grpc: 80, grpcs: 443 };
const WEIGHT_DEFAULT = 100;

export const convertKong: Convert = (files, { namespace = NAMESPACE_DEFAULT }) => {
  const result = new Conversion();
  const [file, ...more] = files;
  if (file === undefined || more.length > 0) throw CliErrors.EXPORT_INVALID("Kong's declarative config is one file.");
  const document = asObject(readDocument(file));
  if (document["_format_version"] === undefined) {
    throw CliErrors.EXPORT_INVALID(`${file.path} has no "_format_version", so it is not a declarative config of Kong.`);
  }
  const services = servicesOf(document, result);
  const consumers = consumersOf(document, result);
  const routes = convertRoutes(document, { services, result });
  const clusters = [...services.values()].map(({ cluster }) => cluster);
  for (const name of ["certificates", "snis", "ca_certificates", "vaults", "key_sets", "consumer_groups"]) {
    if (asList(own(document, name)).length > 0) result.note(name, own(NOT_CONVERTED, name) ?? "not converted");
  }
  const config = {
    ...(consumers.length > 0 ? { consumers } : {}),
    ...(clusters.length > 0 ? { clusters } : {}),
    routes,
  };
  result.put(
    file.path,
    { namespace, app: "gateway", profile: "default" },
    "gateway.yaml",
    stringify(config, { aliasDuplicateObjects: false }),
  );
  return result;
};

const NOT_CONVERTED: Readonly<Record<string, string>> = {
  certificates: "not converted. Save each as files, and name them in `certificates` of a listener",
  consumer_groups: "not converted. Add `groups` to the consumers",
};

function servicesOf(document: Fields, result: Conversion): Map<string, KongService> {
  const services = new Map<string, KongService>();
  const upstreams = new Map(asList(document["upstreams"]).map((one) => [asText(asObject(one)["name"]), asObject(one)]));
  for (const given of asList(document["services"]).map(asObject)) {
    const name = asText(given["name"]) || asText(given["id"]) || asText(given["host"]);
    const where = `service ${name}`;
    if (given["enabled"] === false) {
      result.note(where, "not converted, because it is not enabled");
      continue;
    }
    const target = targetOf(given);
    if (!Object.hasOwn(PORT_BY_PROTOCOL, target.protocol)) {
      result.note(where, `not converted, because the gateway has no protocol "${target.protocol}"`);
      continue;
    }
    const upstream = upstreams.get(target.host);
    if (upstream) noteUpstream(result, target.host, upstream);
    if (target.protocol.endsWith("s"))
      result.note(where, "its certificate is verified now, as `tls` of the cluster says");
    const connectMs = asNumber(given["connect_timeout"]);
    const readMs = asNumber(given["read_timeout"]);
    const cluster = {
      name: itemName(name),
      endpoints: upstream ? endpointsOf(upstream, target.protocol) : [endpoint(target)],
      ...(connectMs === undefined && readMs === undefined
        ? {}
        : {
            timeouts: { ...(connectMs ? { connectMs } : {}), ...(readMs ? { headersMs: readMs, idleMs: readMs } : {}) },
          }),
    };
    if (cluster.endpoints.length === 0) {
      result.note(where, `not converted, because the upstream "${target.host}" has no targets`);
      continue;
    }
    services.set(name, {
      name,
      given,
      cluster,
      path: target.path.replace(/\/+$/, ""),
      retries: asNumber(given["retries"]),
    });
  }
  return services;
}

interface Target {
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

function targetOf(given: Fields): Target {
  const url = URL.parse(asText(given["url"]));
  const protocol = url ? url.protocol.slice(0, -1) : asText(given["protocol"]) || "http";
  const port = url ? Number(url.port) || undefined : asNumber(given["port"]);
  return {
    protocol,
    host: url ? url.hostname : asText(given["host"]),
    // As in Kong, a service without a port has 80, whatever its protocol is; a URL has that of its scheme.
    port: port ?? (url ? (own(PORT_BY_PROTOCOL, protocol) ?? 80) : 80),
    path: url ? url.pathname : asText(given["path"]),
  };
}

function endpoint({ protocol, host, port }: Omit<Target, "path">, weight = WEIGHT_DEFAULT) {
  return {
    address: bareHost(host),
    port,
    ...(protocol === "http" ? {} : { protocol }),
    ...(weight === WEIGHT_DEFAULT ? {} : { weight }),
  };
}

function endpointsOf(upstream: Fields, protocol: string) {
  return asList(upstream["targets"])
    .map(asObject)
    .map((given) => {
      const [, host = "", port = "8000"] = /^(.*?)(?::(\d+))?$/.exec(asText(given["target"])) ?? [];
      return endpoint({ protocol, host, port: Number(port) }, asNumber(given["weight"]));
    });
}

function noteUpstream(result: Conversion, name: string, upstream: Fields): void {
  const algorithm = asText(upstream["algorithm"]) || "round-robin";
  if (algorithm !== "round-robin") result.note(`upstream ${name}`, `set \`balance\`; Kong has "${algorithm}"`);
  if (upstream["healthchecks"] !== undefined) {
    result.note(`upstream ${name}`, "its health checks are not converted. Register the instances with checks");
  }
}

/** The gateway has the hash of a key only, so Kong's export and this one never contain the same secret. */
function consumersOf(document: Fields, result: Conversion) {
  const credentials = asList(document["keyauth_credentials"]).map(asObject);
  const groups = asList(document["acls"]).map(asObject);
  return asList(document["consumers"])
    .map(asObject)
    .map((given) => {
      const name = asText(given["username"]) || asText(given["custom_id"]);
      const isOwn = (one: Fields) => [one["consumer"], asObject(one["consumer"])["username"]].includes(name);
      const withOwn = (list: readonly Fields[], field: string) => [
        ...asList(own(given, field)).map(asObject),
        ...list.filter(isOwn),
      ];
      const keys = withOwn(credentials, "keyauth_credentials")
        .map(({ key }) => asText(key))
        .filter(Boolean);
      const inGroups = asTexts(withOwn(groups, "acls").map(({ group }) => group)).map(itemName);
      for (const field of Object.keys(given).filter((field) => /_credentials$|_secrets$/.test(field))) {
        if (field !== "keyauth_credentials") result.note(`consumer ${name}`, `its ${field} are not converted`);
      }
      if (asList(given["plugins"]).length > 0) result.note(`consumer ${name}`, "its own plugins are not converted");
      return {
        name: itemName(name),
        ...(inGroups.length > 0 ? { groups: inGroups } : {}),
        ...(keys.length > 0
          ? { keys: keys.map((key) => ({ sha256: createHash("sha256").update(key).digest("hex") })) }
          : {}),
      };
    });
}
