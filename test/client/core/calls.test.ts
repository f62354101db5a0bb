/** Decisions of calls to services: what a URL names, what a failure says, and what is reported. */
import { expect, test } from "vitest";
import { callFailure, codeOf } from "../../../client/core/call-failure.ts";
import { countCall, edgeTraffic, newEdge } from "../../../client/core/edge-counts.ts";
import { isServiceHost, mayNameService, serviceOf } from "../../../client/core/service-url.ts";

test("a URL names a service in its own or in a named namespace", () => {
  const of = (url: string) => serviceOf(new URL(url), "default");
  expect(of("http://orders.service/x")).toEqual({ service: "orders", namespace: "default", secure: false });
  expect(of("https://ORDERS.service.pay.ns/")).toEqual({ service: "orders", namespace: "pay", secure: true });
  for (const url of ["ws://orders.service/", "http://orders.example/", "http://a.b.service/", "http://-a.service/"])
    expect([url, of(url)]).toEqual([url, undefined]);
  expect(["orders.service", "a.b.service", "a.service.pay.ns"].map(isServiceHost)).toEqual([true, true, true]);
  expect(["service", "orders.services", "a.ns", "service.example"].map(isServiceHost)).toEqual([
    false,
    false,
    false,
    false,
  ]);
  for (const url of ["http://a.service", "http://a.service/x", "http://a.service:80/", "http://a.service.b.ns?x"])
    expect([url, mayNameService(url)]).toEqual([url, true]);
  expect(mayNameService("http://example.org/orders")).toBe(false);
});

test("a failure is about the connection, the answer, or neither", () => {
  const fresh = { connected: false, reused: false };
  const open = { connected: true, reused: false };
  expect(callFailure("ECONNREFUSED", fresh)).toEqual({
    error: "UPSTREAM_UNREACHABLE",
    connecting: true,
    reused: false,
  });
  expect(callFailure("UND_ERR_CONNECT_TIMEOUT", fresh)).toMatchObject({ error: "UPSTREAM_TIMEOUT", connecting: true });
  expect(callFailure("UND_ERR_SOCKET", open)).toMatchObject({ error: "UPSTREAM_RESET", connecting: false });
  expect(callFailure("CERT_HAS_EXPIRED", fresh)).toMatchObject({ error: "UPSTREAM_UNTRUSTED" });
  expect(callFailure("HPE_INVALID_CONSTANT", open)).toMatchObject({ error: "UPSTREAM_BAD_ANSWER" });
  expect(callFailure("ERR_OF_THE_CALLER", open)).toMatchObject({ error: "INTERNAL" });
  expect(callFailure(undefined, fresh)).toMatchObject({ error: "INTERNAL", connecting: false });
  expect([codeOf({ code: "A" }), codeOf(new Error("x", { cause: { code: "B" } })), codeOf(undefined)]).toEqual([
    "A",
    "B",
    undefined,
  ]);
});

test("calls are counted by status and latency", () => {
  const edge = newEdge({ to: "orders", toNamespace: "default", instance: "one" });
  for (const [status, ms] of [
    [200, 1],
    [404, 1.5],
    [503, 20_000],
    [0, 3],
  ] as const)
    countCall(edge, status, ms);
  expect(edgeTraffic("shop", edge)).toEqual({
    from: "shop",
    to: "orders",
    toNamespace: "default",
    instance: "one",
    requests: 4,
    clientErrors: 1,
    errors: 2,
    latencyMs: 20_005.5,
    buckets: [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  });
});
