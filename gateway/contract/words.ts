/** Small shapes that the parts of the gateway's config share, and what holds where a config says nothing. */
import { Type } from "typebox";

/** What holds where a route or cluster says nothing. */
export const GATEWAY_DEFAULTS = {
  /** Bytes of a request body. */
  bodyBytesMax: 1024 * 1024,
  /** Milliseconds until a connection to an endpoint stands. */
  connectMs: 2_000,
  /** Milliseconds from the request sent to the head of the answer. */
  headersMs: 30_000,
  /** Milliseconds of silence inside an answer. Event streams send heartbeats far more often. */
  idleMs: 300_000,
  /** Requests in flight to one endpoint; the next is refused at once, for a queue only hides an overload. */
  inFlightMax: 1024,
  /** Further tries on other endpoints. */
  retryAttempts: 1,
  /** Gateway errors in a row that eject an endpoint. Envoy's; one or two happen to anybody. */
  outlierErrors: 5,
  /** Seconds of an endpoint's first ejection; the n-th lasts n times as long. */
  ejectionSeconds: 30,
  /** Of a cluster's endpoints that may be ejected at once, though one always may: half must bear the load of all. */
  ejectedPercentMax: 50,
  /** With fewer of its endpoints healthy, all of a cluster's are used: the few would only fall next. */
  panicPercent: 50,
  /** Seconds in which a newcomer gets up to its share: caches fill and code is compiled meanwhile. */
  slowStartSeconds: 30,
  /** Connections of a cluster: a third of the ports that one address has to reach one endpoint from. */
  connectionsMax: 20_000,
  /** Connections of a cluster on their way at once; more would only time out behind each other. */
  pendingMax: 1_024,
  /** Requests to a cluster at once; at 64 KiB each in buffers, half a gigabyte. */
  requestsMax: 8_192,
  /** Further tries to a cluster at once; what the budget allows in a second of a busy one. */
  retriesMax: 256,
  /** Least and most requests at once that an adaptive limit settles on. */
  adaptiveMin: 8,
  adaptiveMax: 4_096,
  /** Seconds a token's times may be off, for clocks differ. */
  clockToleranceSeconds: 30,
  /** Claims that a token must have beside `exp`. */
  requiredClaims: ["iat", "sub"] as readonly string[],
  /** Bytes from which an answer is worth compressing; below, the headers cost more than is saved. */
  compressBytesMin: 1024,
  /** Seconds that a browser may keep the answer to a preflight. Chromium keeps none longer than two hours. */
  corsMaxAgeSeconds: 600,
  /** Bytes of one cached answer. */
  cacheEntryBytesMax: 1024 * 1024,
} as const;

/** Characters of a regular expression; a longer one is a program. */
export const REGEX_CHARS_MAX = 512;

export const ItemName = Type.String({
  pattern: "^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$",
  description: "Unique.",
});
export const ServiceName = Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });
export const Milliseconds = Type.Integer({ minimum: 1, maximum: 86_400_000 });
export const Path = Type.String({ pattern: "^/", maxLength: 2048 });
export const Regex = Type.String({
  minLength: 1,
  maxLength: REGEX_CHARS_MAX,
  description: "RE2 syntax (linear time); it must match the whole.",
});
export const FieldName = Type.String({ pattern: "^[A-Za-z0-9-]{1,128}$", description: "A header's name." });
/** A cookie's name or a query parameter's. */
export const TokenName = Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" });
export const Cidr = Type.String({
  minLength: 2,
  maxLength: 64,
  description: "10.0.0.0/8, 2001:db8::/32 or one address.",
});
export const HostName = Type.String({ minLength: 1, maxLength: 255, description: "a.example or *.example; no port." });
export const Text = Type.String({ minLength: 1, maxLength: 1024 });
export const strict = { additionalProperties: false } as const;
