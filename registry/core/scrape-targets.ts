/**
 * Instances as scrape targets of Prometheus: one target an instance, with its facts as meta labels for relabeling. Pure.
 * @see Prometheus, "HTTP SD": a list of `{ targets, labels }`
 */
import { bracketedHost } from "#base";
import type { Instance, ScrapeTarget } from "../api.ts";

/** Metadata that says how an instance is scraped, if not at its own port, by HTTP, at `/metrics`. */
const SCRAPE_METADATA = {
  port: "prometheus.port",
  path: "prometheus.path",
  scheme: "prometheus.scheme",
} as const;

const META = "__meta_posthouse_";
const SCHEMES: ReadonlySet<string> = new Set(["http", "https"]);
/** Protocols of an instance that are HTTP within TLS. */
const TLS_PROTOCOLS: ReadonlySet<string> = new Set(["https", "grpcs"]);

/** Metadata that is not valid for its purpose is not used; it remains visible as a meta label. */
export function scrapeTargetOf(instance: Instance): ScrapeTarget {
  const { address, metadata } = instance;
  const port = portOf(metadata[SCRAPE_METADATA.port]) ?? instance.port;
  const path = metadata[SCRAPE_METADATA.path];
  const scheme = metadata[SCRAPE_METADATA.scheme];
  const usual = TLS_PROTOCOLS.has(instance.protocol) ? "https" : "http";
  return {
    targets: [`${bracketedHost(address)}:${port}`],
    labels: {
      __scheme__: scheme !== undefined && SCHEMES.has(scheme) ? scheme : usual,
      __metrics_path__: path?.startsWith("/") ? path : "/metrics",
      ...metaLabels(instance),
    },
  };
}

function metaLabels(instance: Instance): Record<string, string> {
  const { tags, zone, version, metadata } = instance;
  return {
    [`${META}namespace`]: instance.namespace,
    [`${META}service`]: instance.service,
    [`${META}instance`]: instance.id,
    [`${META}address`]: instance.address,
    [`${META}port`]: String(instance.port),
    [`${META}status`]: instance.status,
    [`${META}lifecycle`]: instance.lifecycle,
    ...(zone === undefined ? {} : { [`${META}zone`]: zone }),
    ...(version === undefined ? {} : { [`${META}version`]: version }),
    // A separator at both ends, so that a regular expression finds a whole tag anywhere in the list.
    ...(tags.length === 0 ? {} : { [`${META}tags`]: `,${tags.join(",")},` }),
    ...Object.fromEntries(
      Object.entries(metadata)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => [`${META}metadata_${name.replaceAll(/\W/g, "_")}`, value]),
    ),
  };
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}
