/** Small shapes that the parts of the gateway's config share, and the defaults. */
import { Type } from "typebox";

/** The defaults of routes and clusters. */
export const GATEWAY_DEFAULTS = {
  /** Bytes of a request body. */
  bodyBytesMax: 1024 * 1024,
  /** Milliseconds to establish a connection to an endpoint. */
  connectMs: 2_000,
  /** Milliseconds from the sent request to the head of the answer. */
  headersMs: 30_000,
  /** Milliseconds without data inside an answer. Event streams send heartbeats far more often. */
  idleMs: 300_000,
  /** Requests in flight to one endpoint. The next is refused at once, since a queue would only hide an overload. */
  inFlightMax: 1024,
  /** Retries on other endpoints. */
  retryAttempts: 1,
  /** Consecutive gateway errors that eject an endpoint. As in Envoy; one or two are normal. */
  outlierErrors: 5,
  /** Seconds of an endpoint's first ejection; the n-th lasts n times as long. */
  ejectionSeconds: 30,
  /** Percentage of a cluster's endpoints that may be ejected at once; one always may. The other half must serve all requests. */
  ejectedPercentMax: 50,
  /** With a smaller percentage of healthy endpoints, all endpoints of a cluster are used, since the few would fail next. */
  panicPercent: 50,
  /** Seconds in which a new endpoint rises to its full share, while its caches fill and its code is compiled. */
  slowStartSeconds: 30,
  /** Connections of a cluster: a third of the ports from which one address can reach one endpoint. */
  connectionsMax: 20_000,
  /** Connections of a cluster that are being established at once; more would only delay each other until they time out. */
  pendingMax: 1_024,
  /** Concurrent requests to a cluster: half a gigabyte, at 64 KiB of buffers each. */
  requestsMax: 8_192,
  /** Concurrent retries to a cluster: as many as the budget of a busy cluster allows in a second. */
  retriesMax: 256,
  /** Bounds of an adaptive limit of concurrent requests. */
  adaptiveMin: 8,
  adaptiveMax: 4_096,
  /** Seconds by which a token's times may be off, since clocks differ. */
  clockToleranceSeconds: 30,
  /** Claims that a token must have besides `exp`. */
  requiredClaims: ["iat", "sub"] as readonly string[],
  /** Bytes from which an answer is worth compressing; for smaller ones the headers cost more than is saved. */
  compressBytesMin: 1024,
  /** Seconds for which a browser may cache the answer to a preflight. Chromium limits this to two hours. */
  corsMaxAgeSeconds: 600,
  /** Bytes of one cached answer. */
  cacheEntryBytesMax: 1024 * 1024,
} as const;

/** Longest regular expression, in characters. */
export const REGEX_CHARS_MAX = 512;

export const ItemName = Type.String({
  pattern: "^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$",
  description: "A unique name.",
});
export const ServiceName = Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });
export const Milliseconds = Type.Integer({ minimum: 1, maximum: 86_400_000 });
export const Path = Type.String({ pattern: "^/", maxLength: 2048 });
export const Regex = Type.String({
  minLength: 1,
  maxLength: REGEX_CHARS_MAX,
  description: "RE2 syntax (linear time); it must match the whole text.",
});
export const FieldName = Type.String({ pattern: "^[A-Za-z0-9-]{1,128}$", description: "A header's name." });
/** The name of a cookie or of a query parameter. */
export const TokenName = Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" });
export const Cidr = Type.String({
  minLength: 2,
  maxLength: 64,
  description: "10.0.0.0/8, 2001:db8::/32 or a single address.",
});
export const HostName = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "a.example or *.example, without a port.",
});
export const Text = Type.String({ minLength: 1, maxLength: 1024 });
export const strict = { additionalProperties: false } as const;
