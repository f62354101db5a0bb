/** The parts of an exchange, field by field: CORS, gRPC, the headers that cross, and how long a response is fresh. */
import { expect, test } from "vitest";
import type { Cors } from "../../../gateway/api.ts";
import { conditionsCover, compileConditions, mismatchOf } from "../../../gateway/core/routing/conditions.ts";
import { CidrSet } from "../../../gateway/core/request/cidr-set.ts";
import {
  applyCors,
  compileCors,
  corsHeaders,
  isForeignWebSocket,
  originProblem,
  preflightHeaders,
  preflightMethod,
} from "../../../gateway/core/rewriting/cors.ts";
import {
  Base64Reader,
  formatGrpcTimeout,
  grpcContentType,
  grpcKind,
  grpcMessage,
  grpcOutcome,
  grpcStatusOf,
  grpcTimeoutMs,
  MessageMeter,
  webContentType,
  webTrailerFrame,
} from "../../../gateway/core/request/grpc.ts";
import { HEADER_FIELDS_MAX, isBadHead, readHead, type RequestHead } from "../../../gateway/core/request/head.ts";
import {
  answerHeaders,
  connectionNames,
  isAnswerOwn,
  isGatewayOwn,
  trailersToPass,
  upstreamHeaders,
} from "../../../gateway/core/decision/headers.ts";
import { firstHeaderValue, headerList, headerRecord } from "../../../gateway/core/request/header-list.ts";
import {
  forwardReason,
  isFreshFor,
  isGoodOnError,
  lifetimeSeconds,
  mayKeep,
  storedHead,
} from "../../../gateway/core/decision/stored-answer.ts";

function read(headers: readonly (readonly [string, string])[], over: Partial<Parameters<typeof readHead>[0]> = {}) {
  const rawHeaders = [...(over.rawHeaders ?? ["Host", "api.example"]), ...headers.flat()];
  return readHead({
    method: "GET",
    target: "/",
    version: "1.1",
    scheme: "https",
    peer: "10.0.0.1",
    ...over,
    rawHeaders,
  });
}
function headOf(headers: Record<string, string> = {}, over: Partial<Parameters<typeof readHead>[0]> = {}): RequestHead {
  const head = read(Object.entries(headers), over);
  if (isBadHead(head)) throw new Error(head.detail);
  return head;
}

const cors = (over: Partial<Cors> = {}) => compileCors({ origins: ["https://app.example"], ...over }, 600);

test("an origin is allowed whole: scheme, host and port; a star is labels of its host", () => {
  const allowed = (origins: string[], origin: string) =>
    corsHeaders(cors({ origins }), headOf({ origin })).some(([name]) => name === "access-control-allow-origin");
  expect(allowed(["https://app.example"], "https://app.example")).toBe(true);
  for (const origin of ["http://app.example", "https://app.example:8443", "https://app.example.evil", "null"])
    expect([origin, allowed(["https://app.example"], origin)]).toEqual([origin, false]);
  const star = ["https://*.example:8443"];
  for (const origin of ["https://a.example:8443", "https://a.b-c.example:8443"])
    expect([origin, allowed(star, origin)]).toEqual([origin, true]);
  for (const origin of [
    "https://.example:8443",
    "https://example:8443",
    "https://u@a.example:8443",
    "http://a.example:8443",
    "https://a.example",
    "https://a..example:8443",
  ])
    expect([origin, allowed(star, origin)]).toEqual([origin, false]);
  for (const origin of ["*", "https://a.example", "http://*.a.example:80", "https://[::1]:8443"])
    expect(originProblem(origin)).toBeUndefined();
  for (const origin of ["https://A.example", "a.example", "https://a.example/", "https://*", "ftp://a.example"])
    expect(originProblem(origin)).toContain("is not a valid origin");
});

test("a preflight is an OPTIONS with one origin that asks for one method", () => {
  const asks = { origin: "https://app.example", "access-control-request-method": "PUT" };
  expect(preflightMethod(headOf(asks, { method: "OPTIONS" }))).toBe("PUT");
  expect(preflightMethod(headOf(asks))).toBeUndefined();
  expect(preflightMethod(headOf({ origin: asks.origin }, { method: "OPTIONS" }))).toBeUndefined();
  const twice = (name: string) => read([...Object.entries(asks), [name, "x"]], { method: "OPTIONS" }) as RequestHead;
  expect(preflightMethod(twice("Origin"))).toBeUndefined();
  expect(preflightMethod(twice("Access-Control-Request-Method"))).toBeUndefined();
});

test("a preflight is answered with what the route allows, and an origin that it does not know with nothing", () => {
  const vary = ["vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"];
  const told = (over: Partial<Cors>, headers: Record<string, string>) =>
    preflightHeaders(cors(over), headOf({ origin: "https://app.example", ...headers }, { method: "OPTIONS" }));
  expect(told({}, { origin: "https://evil.example" })).toEqual([vary]);
  expect(told({}, {})).toEqual([
    ["access-control-allow-origin", "https://app.example"],
    ["access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"],
    ["access-control-max-age", "600"],
    vary,
  ]);
  const all = told({ origins: ["*"], methods: ["GET"], headers: ["*"], maxAgeSeconds: 5 }, {});
  expect(Object.fromEntries(all)).toMatchObject({
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "*",
    "access-control-max-age": "5",
  });
  // With credentials a star is the name of a header, so each that is asked for is named.
  const named = (asked: string) =>
    Object.fromEntries(
      told({ credentials: true, headers: ["*"] }, asked === "" ? {} : { "access-control-request-headers": asked }),
    );
  expect(named("X-A,x-b")).toMatchObject({
    "access-control-allow-headers": "X-A, x-b",
    "access-control-allow-credentials": "true",
  });
  const many = (count: number) => Array.from({ length: count }, (_, at) => `x${at}`).join(",");
  expect(named(many(64))["access-control-allow-headers"]).toBe(many(64).replaceAll(",", ", "));
  for (const asked of ["", "x-a,", "x a", many(65)])
    expect([asked, named(asked)["access-control-allow-headers"]]).toEqual([asked, undefined]);
  expect(Object.fromEntries(told({ credentials: true, headers: ["X-A"] }, {}))["access-control-allow-headers"]).toBe(
    "X-A",
  );
});

test("an answer says for which origin it is, and what the service said of that goes", () => {
  const said = (over: Partial<Cors>, origin?: string) => corsHeaders(cors(over), headOf(origin ? { origin } : {}));
  expect(said({})).toEqual([["vary", "Origin"]]);
  expect(said({ origins: ["*"] })).toEqual([]);
  expect(said({ origins: ["*"] }, "https://x.example")).toEqual([["access-control-allow-origin", "*"]]);
  expect(said({ credentials: true, exposeHeaders: ["X-A", "X-B"] }, "https://app.example")).toEqual([
    ["vary", "Origin"],
    ["access-control-allow-origin", "https://app.example"],
    ["access-control-allow-credentials", "true"],
    ["access-control-expose-headers", "X-A, X-B"],
  ]);
  const headers = { "access-control-allow-origin": "*", "access-control-max-age": "1", vary: "Accept", etag: "x" };
  applyCors(headers, said({}, "https://app.example"));
  expect(headers).toEqual({ vary: "Accept, Origin", "access-control-allow-origin": "https://app.example", etag: "x" });
});

test("a WebSocket is foreign when its page is neither allowed nor the service's own", () => {
  const foreign = (headers: Record<string, string>, over: Partial<Cors> = {}) =>
    isForeignWebSocket(cors(over), headOf({ upgrade: "WebSocket", ...headers }));
  expect(foreign({ origin: "https://evil.example" })).toBe(true);
  expect(foreign({ origin: "https://app.example" })).toBe(false);
  for (const own of ["https://api.example", "https://api.example:443"]) expect(foreign({ origin: own })).toBe(false);
  expect(foreign({ origin: "http://api.example" })).toBe(true);
  expect(foreign({ origin: "null" })).toBe(true);
  expect(foreign({})).toBe(false);
  expect(foreign({ origin: "https://evil.example" }, { origins: ["*"] })).toBe(false);
  expect(foreign({ origin: "https://evil.example", upgrade: "h2c" })).toBe(false);
  const two = read([
    ["Upgrade", "websocket"],
    ["Origin", "https://api.example"],
    ["Origin", "https://api.example"],
  ]);
  expect(isForeignWebSocket(cors(), two as RequestHead)).toBe(true);
});

test.each([
  [undefined, undefined],
  ["application/grpc", "grpc"],
  ["application/grpc+proto", "grpc"],
  ["application/grpc; charset=x", "grpc"],
  ["application/grpcx", undefined],
  ["Application/GRPC-Web", "web"],
  ["application/grpc-web+json", "web"],
  ["application/grpc-web-text+proto", "web-text"],
  ["application/grpc-websocket", undefined],
  ["application/json", undefined],
  ["application/jsonapplication/grpc", undefined],
] as const)("the content type %s is a gRPC call of kind %s", (type, kind) => {
  expect(grpcKind(type)).toBe(kind);
});

test("gRPC-Web's content types are gRPC's, and back", () => {
  expect(grpcContentType("application/grpc-web-text+proto")).toBe("application/grpc+proto");
  expect(grpcContentType("application/grpc-web")).toBe("application/grpc");
  expect(webContentType("application/grpc+proto", "web-text")).toBe("application/grpc-web-text+proto");
  expect(webContentType("application/grpc-web", "web")).toBe("application/grpc-web");
});

test("a call's time is read in each unit, and written in eight digits", () => {
  expect(["2H", "2M", "2S", "2m", "2u", "2n"].map(grpcTimeoutMs)).toEqual([7_200_000, 120_000, 2_000, 2, 0.002, 2e-6]);
  expect([undefined, "", "S", "1", "123456789S", "-1S", "1x"].map(grpcTimeoutMs)).toEqual(Array(7).fill(undefined));
  expect(grpcTimeoutMs("12345678m")).toBe(12_345_678);
  expect([0, 0.2, 1, 1.2, 99_999_999].map(formatGrpcTimeout)).toEqual(["1m", "1m", "1m", "2m", "99999999m"]);
  expect([1e8, 1e8 + 1, 1e15].map(formatGrpcTimeout)).toEqual(["100000S", "100001S", "99999999S"]);
});

test("a status of HTTP is gRPC's, and a call's end is HTTP's", () => {
  const codes = [401, 403, 404, 405, 501, 408, 504, 413, 429, 431, 499, 421, 502, 503, 400, 500];
  expect(codes.map(grpcStatusOf)).toEqual([16, 7, 12, 12, 12, 4, 4, 8, 8, 8, 1, 14, 14, 14, 13, 13]);
  expect(["0", "2", "4", "5", "13", "14", "15", "toString", undefined].map(grpcOutcome)).toEqual([
    200, 500, 504, 200, 500, 503, 500, 200, 500,
  ]);
  expect(grpcMessage("a%b ~\u00e9\n")).toBe("a%25b ~%C3%A9%0A");
});

test("messages are measured wherever their bytes are cut", () => {
  const message = (length: number, announced = length) => {
    const bytes = new Uint8Array(5 + length).fill(7);
    bytes[0] = 0;
    new DataView(bytes.buffer).setUint32(1, announced);
    return bytes;
  };
  const stream = Buffer.concat([message(3), message(0), message(10)]);
  for (let size = 1; size <= stream.length; size++) {
    const [fits, exceeds] = [new MessageMeter(), new MessageMeter()];
    const over = [];
    for (let at = 0; at < stream.length; at += size) {
      const piece = stream.subarray(at, at + size);
      expect(fits.exceeds(piece, 10)).toBe(false);
      over.push(exceeds.exceeds(piece, 9));
    }
    expect([fits.between, over.includes(true)]).toEqual([true, true]);
  }
  const meter = new MessageMeter();
  expect(meter.between).toBe(true);
  meter.exceeds(message(3).subarray(0, 2), 9);
  expect(meter.between).toBe(false);
  meter.exceeds(message(3).subarray(2, 6), 9);
  expect(meter.between).toBe(false);
  meter.exceeds(message(3).subarray(6), 9);
  expect(meter.between).toBe(true);
});

test("trailers are the last frame of a gRPC-Web body, one byte per character", () => {
  const frame = webTrailerFrame(["Grpc-Status", "0", "x-\u00e9", "\u00fc"]);
  const text = "grpc-status: 0\r\nx-\u00e9: \u00fc\r\n";
  expect([...frame]).toEqual([0x80, 0, 0, 0, text.length, ...Buffer.from(text, "latin1")]);
});

test("base64 is read in groups of four, with padding where a piece ended", () => {
  const reader = new Base64Reader();
  expect(Buffer.from(reader.push("YQ==Yg"))).toEqual(Buffer.from("a"));
  expect(reader.whole).toBe(false);
  expect(Buffer.from(reader.push("=\r\n=Y2RlZg=="))).toEqual(Buffer.from("bcdef"));
  expect(reader.whole).toBe(true);
  for (const bad of ["YQ=a", "Y===", "Y Q=", "====", "YQ*="])
    expect(() => new Base64Reader().push(bad)).toThrow("not base64");
});

test("a head is refused for what two programs read in two ways", () => {
  const detail = (result: ReturnType<typeof readHead>) => (isBadHead(result) ? result.error : "taken");
  expect(detail(read(Array.from({ length: HEADER_FIELDS_MAX - 1 }, () => ["a", "b"] as const)))).toBe("taken");
  expect(detail(read(Array.from({ length: HEADER_FIELDS_MAX }, () => ["a", "b"] as const)))).toBe("HEADERS_TOO_LARGE");
  expect(detail(read([["host", "api.example"]]))).toBe("HOST_INVALID");
  expect(detail(read([], { rawHeaders: [] }))).toBe("HOST_INVALID");
  expect(detail(read([["Transfer-Encoding", "chunked"]], { version: "1.0" }))).toBe("REQUEST_INVALID");
  expect(detail(read([["Transfer-Encoding", "chunked"]]))).toBe("taken");
  expect(detail(read([], { version: "1.0" }))).toBe("taken");
  expect(detail(read([], { target: "http://other.example/a" }))).toBe("HOST_INVALID");
  expect(read([], { target: "HTTP://API.example/a?b" })).toMatchObject({ path: "/a", query: "?b" });
  expect(read([], { target: "http://api.example?b" })).toMatchObject({ path: "/", query: "?b" });
  expect(detail(read([], { target: "/../a" }))).toBe("PATH_INVALID");
  expect(read([], { target: "/a;x/b" })).toMatchObject({ path: "/a/b", written: "/a;x/b", doubts: ["parameters"] });
  expect(Object.keys(headOf({}, { target: "/a" }))).not.toContain("written");
  expect(headOf({ "X-A": "1" }).header("x-a")).toEqual(["1"]);
});

test("a client says nothing of its own certificate: only what the handshake found is seen", () => {
  const name = "x-forwarded-client-cert";
  const forged = { "X-Forwarded-Client-Cert": "forged" };
  expect(headOf(forged).header(name)).toEqual([]);
  const tls = { serverName: undefined, trusts: "ca", certificate: "real" };
  expect(headOf(forged, { tls }).header(name)).toEqual(["real"]);
});

const table = { ownHeaders: new Set(["x-own"]), trusted: new CidrSet(["10.0.0.0/8"]) };
const sent = (rawHeaders: string[], more: Partial<Parameters<typeof upstreamHeaders>[2]> = {}, peer = "192.0.2.1") => {
  const head = headOf({}, { rawHeaders: ["Host", "api.example", ...rawHeaders], peer });
  return headerRecord(upstreamHeaders(head, rawHeaders, { table, version: "1.1", set: [], ...more }));
};

test("a service receives the identity of the client's certificate, and nothing when the client gave none", () => {
  const told = (tls: Parameters<typeof readHead>[0]["tls"]) => {
    const head = headOf({ "X-Forwarded-Client-Cert": "forged" }, { tls });
    const rawHeaders = ["X-Forwarded-Client-Cert", "forged"];
    const list = upstreamHeaders(head, rawHeaders, { table, version: "1.1", set: [] });
    return list.filter((_, at) => list[at - 1] === "x-forwarded-client-cert");
  };
  expect(told({ serverName: undefined, trusts: "ca", certificate: "Hash=1" })).toEqual(["Hash=1"]);
  expect([told(undefined), told({ serverName: undefined, trusts: "ca", certificate: undefined })]).toEqual([[], []]);
});

test("a service receives the client's cookies without the one of the console", () => {
  expect(sent(["Cookie", "a=1; posthouse_session=x"])).toMatchObject({ cookie: "a=1" });
  expect(sent(["Cookie", "posthouse_session=x"])).not.toHaveProperty("cookie");
});

test("hop-by-hop headers, the gateway's own and those named by Connection are dropped; the rest crosses", () => {
  const passed = sent(
    ["Connection", "X-Hop, keep-alive", "X-Hop", "1", "TE", "trailers", "X-Own", "1", "X_A", "1", "X-A", "2"].concat([
      "X-Posthouse-Principal",
      "me",
      "X-Consumer-Name",
      "me",
      "X-Posthouse-Attempt",
      "2",
      "Keep",
      "3",
    ]),
  );
  expect(passed).toMatchObject({ "x-a": "2", keep: "3", "x-posthouse-attempt": "2", via: "1.1 posthouse" });
  for (const name of ["connection", "x-hop", "te", "x-own", "x_a", "x-posthouse-principal", "x-consumer-name", "host"])
    expect([name, passed[name]]).toEqual([name, undefined]);
  const again = sent(["X-Posthouse-Attempt", "2"], { set: [["x-posthouse-attempt", "3"]] });
  expect(again["x-posthouse-attempt"]).toBe("3");
  const edited = sent(["X-A", "1", "X-Time", "9"], {
    edits: {
      drop: new Set(["x-a"]),
      put: [
        ["x-b", "2"],
        ["x-time", "1"],
      ],
    } as never,
    deadline: ["x-time"],
    set: [["x-time", "5"]],
  });
  expect(edited).toMatchObject({ "x-b": "2", "x-time": "5" });
  expect(edited["x-a"]).toBeUndefined();
});

test("trailers are announced as far as they may cross, and only behind a body", () => {
  const trailer = ["Trailer", "X-Sum, Authorization, x_a,", "Connection", "close"];
  expect(sent(trailer, { hasBody: true })["trailer"]).toBe("X-Sum");
  expect(sent(trailer)["trailer"]).toBeUndefined();
  expect(sent(["Trailer", "Authorization"], { hasBody: true })["trailer"]).toBeUndefined();
  expect(sent(["Trailer", "X-Sum", "Connection", "trailer"], { hasBody: true })["trailer"]).toBeUndefined();
  expect(sent(["Trailer", "X-Own, X-Sum", "Connection", "X-Sum"], { hasBody: true })["trailer"]).toBeUndefined();
  // In a response a name with an underscore crosses, because no program reads it as a variable there.
  expect(answerHeaders(["Trailer", "X-Sum, x_a, Set-Cookie, :status"], [])).toEqual(["Trailer", "X-Sum, x_a"]);
  expect(answerHeaders(["Trailer", "Set-Cookie"], [])).toEqual([]);
  expect(trailersToPass(["X-Sum", "1", "TE", "2", "X-Posthouse-A", "3"])).toEqual(["X-Sum", "1"]);
  expect(trailersToPass(["x_a", "1", "x-b", "2"], (name) => name === "x-b")).toEqual([]);
});

test("forwarding headers describe a chain of trusted proxies hop by hop: first what the client asked for, last what arrived here", () => {
  const passed = sent(["X-Forwarded-For", "203.0.113.7, 10.0.0.9", "X-Forwarded-Proto", "http"], {}, "10.0.0.1");
  expect(passed["x-forwarded-for"]).toBe("203.0.113.7, 10.0.0.9, 10.0.0.1");
  expect(passed["forwarded"]).toBe(
    'for=203.0.113.7;proto=http;host="api.example", for=10.0.0.9, for=10.0.0.1;proto=https;host="api.example"',
  );
  expect(sent([], {}, "2001:db8::1")["forwarded"]).toBe('for="[2001:db8::1]";proto=https;host="api.example"');
  const two = ["X-Forwarded-Host", "a.example", "X-Forwarded-Host", "b.example"];
  expect(sent(two, {}, "10.0.0.1")["x-forwarded-host"]).toBe("api.example");
});

test("an answer keeps its own words, and loses the connection's and those that the gateway says instead", () => {
  const headers = [
    "Connection",
    "X-Hop",
    "connection",
    "x-two",
    "X-Hop",
    "1",
    "X-Two",
    "2",
    "X-Three",
    "3",
    "Vary",
    "a",
  ];
  expect(answerHeaders([...headers, "Keep-Alive", "1", "X-Posthouse-Flag", "1"], [["vary", "b"]])).toEqual([
    "X-Three",
    "3",
    "vary",
    "b",
  ]);
  expect(answerHeaders(["Connection", "close", "X-Close", "1", "xconnection", "x-close"], [])).toEqual([
    "X-Close",
    "1",
    "xconnection",
    "x-close",
  ]);
});

test("Connection's names are read from all of its fields, and the usual words name no header", () => {
  for (const values of [[], ["keep-alive"], ["Close"]]) expect(connectionNames(values)).toBeUndefined();
  expect(connectionNames(["Keep-Alive, X-A", "x-b"])).toEqual(new Set(["keep-alive", "x-a", "x-b"]));
  expect(connectionNames(["close", "close"])).toEqual(new Set(["close"]));
});

test("headers become a record and a list again, and a field is found by its name in any case", () => {
  const list = ["A", "1", "b", "2", "a", "3", "__proto__", "4", "A", "5"];
  const record = headerRecord(list);
  expect(Object.entries(record)).toEqual([
    ["a", ["1", "3", "5"]],
    ["b", "2"],
    ["__proto__", "4"],
  ]);
  expect(headerList(record)).toEqual(["a", "1", "a", "3", "a", "5", "b", "2", "__proto__", "4"]);
  expect(headerList({ a: undefined, b: "1" })).toEqual(["b", "1"]);
  expect([
    firstHeaderValue(["ab", "0", ...list], "b"),
    firstHeaderValue(list, "B"),
    firstHeaderValue(list, "c"),
  ]).toEqual(["2", undefined, undefined]);
  const own = ["connection", "host", "x-jwt-sub", "x-forwarded-for", "forwarded"];
  expect([...own, "x-real-ip", "x-a", "jwt"].map(isGatewayOwn)).toEqual([
    true,
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
  const answers = ["connection", "content-length", "x-posthouse-a", "host", "etag"];
  expect(answers.map(isAnswerOwn)).toEqual([true, true, true, false, false]);
});

const came = { nowMs: 1_000_000, wallMs: Date.parse("Sun, 06 Nov 1994 08:49:37 GMT") };
const stored = (control: string, more: Record<string, string> = {}, asked: Record<string, string> = {}, status = 200) =>
  storedHead(status, { "cache-control": control, ...more }, asked, came);
const at = (seconds: number) => came.nowMs + seconds * 1_000;

test("an answer is fresh for less than its lifetime, and a request's bounds hold to the second", () => {
  const head = stored("max-age=60");
  expect([mayKeep(head, at(59.9)), mayKeep(head, at(60))]).toEqual([true, false]);
  const fresh = (control: string, seconds: number) => isFreshFor(head, { "cache-control": control }, at(seconds));
  expect([fresh("", 59.9), fresh("", 60)]).toEqual([true, false]);
  expect([fresh("max-age=10", 10), fresh("max-age=10", 10.1)]).toEqual([true, false]);
  expect([fresh("max-age=0", 0), fresh("max-age=x", 1)]).toEqual([true, false]);
  expect([fresh("min-fresh=20", 40), fresh("min-fresh=20", 40.1)]).toEqual([true, false]);
  expect([fresh("max-stale=20", 80), fresh("max-stale=20", 80.1), fresh("max-stale=0", 60)]).toEqual([
    true,
    false,
    true,
  ]);
  expect([fresh("max-stale=x", 60), fresh("max-stale=x", 60.1)]).toEqual([true, false]);
  // Pragma is for requests that have no Cache-Control.
  const pragma = { pragma: "no-cache" };
  expect(isFreshFor(head, { ...pragma, "cache-control": "max-age=60" }, at(1))).toBe(true);
  expect([isFreshFor(head, pragma, at(1)), isFreshFor(head, { pragma: "x" }, at(1))]).toEqual([false, true]);
});

test("a stored response replaces an error up to the last second that its policy allows", () => {
  const good = (head: ReturnType<typeof stored>, seconds: number) => isGoodOnError(head, 30, at(seconds));
  const head = stored("max-age=60");
  expect([good(head, 90), good(head, 90.1)]).toEqual([true, false]);
  const own = stored("max-age=60, stale-if-error=0");
  expect([good(own, 60), good(own, 60.1)]).toEqual([true, false]);
  for (const control of ["proxy-revalidate", "s-maxage=60", "no-cache", "must-revalidate"])
    expect([control, good(stored(`max-age=60, ${control}`), 61)]).toEqual([control, false]);
});

test("a response to a credentialed request is kept only if the service marks it as public or to be revalidated", () => {
  const kept = (control: string, asked: Record<string, string>) => mayKeep(stored(control, {}, asked), came.nowMs);
  const token = { authorization: "x" };
  expect(
    ["max-age=9", "max-age=9, must-revalidate", "max-age=9, public", "s-maxage=9"].map((one) => kept(one, token)),
  ).toEqual([false, true, true, true]);
  const cookie = { cookie: "a=1" };
  expect(["max-age=9, must-revalidate", "max-age=9, public"].map((one) => kept(one, cookie))).toEqual([false, true]);
});

test("a cache says why it asked the service", () => {
  const head = stored("max-age=60", { vary: "accept" }, { accept: "a" });
  const why = (asked: Record<string, string>, seconds: number) => forwardReason([head], asked, at(seconds));
  expect(forwardReason([], {}, came.nowMs)).toBe("uri-miss");
  expect([why({ accept: "b" }, 0), why({ accept: "a" }, 59.9), why({ accept: "a" }, 60)]).toEqual([
    "vary-miss",
    "request",
    "stale",
  ]);
  expect(lifetimeSeconds(head)).toBe(60);
  // As long as a lifetime can be. @see RFC 9111 §1.2.2
  expect(lifetimeSeconds(stored("max-age=99999999999"))).toBe(2_147_483_648);
});

const conditions = (match: Parameters<typeof compileConditions>[0]) => compileConditions(match);

test("a condition covers another when whatever meets the other meets it", () => {
  const covers = (a: Parameters<typeof compileConditions>[0], b: Parameters<typeof compileConditions>[0]) =>
    conditionsCover(conditions(a), conditions(b));
  const header = (more: object) => ({ headers: [{ name: "x-a", ...more }] });
  expect([covers({}, header({ exact: "1" })), covers(header({ exact: "1" }), {})]).toEqual([true, false]);
  expect(covers(header({ exact: "1" }), header({ exact: "1" }))).toBe(true);
  expect(covers(header({ exact: "1" }), header({ exact: "2" }))).toBe(false);
  expect(covers(header({ exact: "1" }), { headers: [{ name: "x-b", exact: "1" }] })).toBe(false);
  expect(covers(header({ present: true }), header({ exact: "1" }))).toBe(true);
  expect(covers(header({ present: true }), header({ present: false }))).toBe(false);
  expect(covers(header({ present: false }), header({ present: false }))).toBe(true);
  expect(covers(header({ present: false }), header({ exact: "1" }))).toBe(false);
  expect(covers(header({ prefix: "a" }), header({ exact: "ab" }))).toBe(true);
  expect(covers(header({ prefix: "a" }), header({ exact: "b" }))).toBe(false);
  expect(covers(header({ prefix: "a" }), header({ prefix: "ab" }))).toBe(true);
  expect(covers(header({ prefix: "ab" }), header({ prefix: "a" }))).toBe(false);
  expect(covers(header({ regex: "a+" }), header({ exact: "aa" }))).toBe(true);
  expect(covers(header({ regex: "a+" }), header({ prefix: "aa" }))).toBe(false);
  expect(covers(header({ prefix: "a" }), header({ regex: "ab" }))).toBe(false);
  expect([covers({ scheme: "http" }, {}), covers({}, { scheme: "http" })]).toEqual([false, true]);
  expect(covers({ scheme: "http" }, { scheme: "https" })).toBe(false);
  const from = (...sourceCidrs: string[]) => ({ sourceCidrs });
  expect(covers(from("10.0.0.0/8"), from("10.1.0.0/16", "10.2.0.1"))).toBe(true);
  expect(covers(from("10.0.0.0/8"), from("10.0.0.0/8"))).toBe(true);
  expect(covers(from("10.1.0.0/16"), from("10.0.0.0/8"))).toBe(false);
  expect(covers(from("10.0.0.0/8"), from("10.1.0.0/16", "11.0.0.1"))).toBe(false);
  expect(covers(from("0.0.0.0/0"), from("2001:db8::/32"))).toBe(false);
  expect([covers(from("10.0.0.0/8"), {}), covers({}, from("10.0.0.0/8"))]).toEqual([false, true]);
});

test("a mismatch names what did not fit, the method last", () => {
  const asks = conditions({
    scheme: "https",
    sourceCidrs: ["10.0.0.0/8"],
    headers: [{ name: "X-A", exact: "1" }],
    cookies: [{ name: "c", prefix: "x" }],
    query: [{ name: "q", regex: "[0-9]+" }],
    methods: ["PUT"],
  });
  const fits = { "x-a": "1", cookie: "c=xy" };
  const why = (headers: Record<string, string>, over: Partial<Parameters<typeof readHead>[0]> = {}) =>
    mismatchOf(asks, headOf(headers, { target: "/?q=12&q=x", method: "PUT", ...over }));
  expect(why(fits)).toBeUndefined();
  expect(why(fits, { scheme: "http" })).toBe("scheme");
  expect(why(fits, { peer: "11.0.0.1" })).toBe("source");
  expect(why({ ...fits, "x-a": "11" })).toBe("header");
  expect(why({ ...fits, cookie: "c=yx" })).toBe("cookie");
  expect(why({ "x-a": "1" })).toBe("cookie");
  expect(why(fits, { target: "/?q=x&q=12" })).toBe("query");
  expect(why(fits, { target: "/?q=12x" })).toBe("query");
  expect(why(fits, { method: "GET" })).toBe("method");
  const common = conditions({});
  expect(["GET", "PROPFIND"].map((method) => mismatchOf(common, headOf({}, { method })))).toEqual([
    undefined,
    "method",
  ]);
  const absent = conditions({ headers: [{ name: "x-a", present: false }] });
  expect([mismatchOf(absent, headOf()), mismatchOf(absent, headOf({ "x-a": "" }))]).toEqual([undefined, "header"]);
  const grpc = conditions({ grpc: { service: "s" } });
  const call = (type: string, method = "POST") => mismatchOf(grpc, headOf({ "content-type": type }, { method }));
  expect([call("application/grpc+proto"), call("application/grpc-web"), call("application/grpc", "GET")]).toEqual([
    undefined,
    "header",
    "method",
  ]);
});
