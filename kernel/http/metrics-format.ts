/**
 * Chooses the format of `/metrics` by the `Accept` header. OpenMetrics is sent only to a reader that names it, because many tools read
 * only the older text.
 * @see RFC 9110 §12.5.1 (quality values)
 */
import type { ExpositionFormat } from "#base";

const OPENMETRICS = "application/openmetrics-text";
/** Versions of OpenMetrics that this text conforms to. Prometheus 2 also asks for 0.0.1, which is the same text. */
const VERSIONS: ReadonlySet<string> = new Set(["1.0.0", "0.0.1"]);
/** Media ranges that also match the older text. */
const TEXT_RANGES: ReadonlySet<string> = new Set(["text/plain", "text/*", "*/*"]);
/** Characters of the header that are read. Prometheus sends about 200. */
const ACCEPT_CHARS_MAX = 2_048;

/** OpenMetrics if the reader prefers it, or values both the same; otherwise `text`. */
export function metricsFormat(accept: string | undefined): ExpositionFormat {
  let openmetrics = 0;
  let text = 0;
  for (const range of (accept ?? "").slice(0, ACCEPT_CHARS_MAX).toLowerCase().split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const quality = qualityOf(parameters);
    if (type === OPENMETRICS && isKnownVersion(parameters)) openmetrics = Math.max(openmetrics, quality);
    else if (TEXT_RANGES.has(type)) text = Math.max(text, quality);
  }
  return openmetrics > 0 && openmetrics >= text ? "openmetrics" : "text";
}

function qualityOf(parameters: readonly string[]): number {
  const quality = parameters.find((parameter) => parameter.startsWith("q="));
  if (quality === undefined) return 1;
  return /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(quality) ? Number(quality.slice(2)) : 0;
}

function isKnownVersion(parameters: readonly string[]): boolean {
  const version = parameters.find((parameter) => parameter.startsWith("version="));
  return version === undefined || VERSIONS.has(version.slice("version=".length).replaceAll('"', ""));
}
