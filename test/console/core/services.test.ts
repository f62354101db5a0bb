/** The computations of the pages of services, of the topology and of the overview. */
import { expect, test } from "vitest";
import type { Instance, InstanceHistory, ServiceSummary } from "#registry/api";
import type { Change, Problem } from "#timeline/api";
import type { TrafficEdge } from "#traffic/api";
import { errorPercent, loadByService, serviceState } from "../../../console/data/services.ts";
import { changesBefore, groupProblems, spanWithin, totalsOf } from "../../../console/pages/overview/core.ts";
import {
  instanceRows,
  jsonProblem,
  loadByInstance,
  receivesRequests,
  rowStatus,
  sharePercent,
  statusSpans,
  weightOfOthers,
} from "../../../console/pages/services/core.ts";
import { callGraph, edgeWidth, isBadEdge } from "../../../console/pages/topology/core.ts";

const summary = (counts: Partial<ServiceSummary>): ServiceSummary => ({
  namespace: "default",
  service: "orders",
  instances: 0,
  passing: 0,
  warning: 0,
  critical: 0,
  unknown: 0,
  draining: 0,
  ...counts,
});

test.each([
  [{}, "empty"],
  [{ instances: 2, critical: 2 }, "down"],
  [{ instances: 2, critical: 1, unknown: 1 }, "down"],
  [{ instances: 2, passing: 1, critical: 1 }, "degraded"],
  [{ instances: 2, passing: 1, warning: 1 }, "warning"],
  [{ instances: 1, unknown: 1 }, "unknown"],
  [{ instances: 2, passing: 2, draining: 2 }, "draining"],
  [{ instances: 2, passing: 2, draining: 1 }, "passing"],
] as const)("the state of %j is %s", (counts, state) => {
  expect(serviceState(summary(counts))).toBe(state);
});

const rate = (rps: number, errors = 0, p99: number | null = 10) => ({
  rps,
  errors,
  clientErrors: 0,
  refused: 0,
  mean: null,
  p50: null,
  p99,
});
const edge = (from: string, to: string, load = rate(10), more: Partial<TrafficEdge> = {}): TrafficEdge => ({
  fromKind: from === "gateway" ? "gateway" : "service",
  from,
  to,
  toNamespace: "default",
  ...load,
  now: { ...load, inFlight: 0 },
  ...more,
});

test("the load of a service is that of all of its callers, with the highest latency", () => {
  const edges = [
    edge("gateway", "orders", rate(10, 1, 20)),
    edge("web", "orders", rate(30, 1, 50)),
    edge("web", "users"),
  ];
  expect(loadByService(edges, "default").get("orders")).toEqual({ rps: 40, errors: 2, p99: 50 });
  expect(loadByService(edges, "other").size).toBe(0);
  expect(errorPercent({ rps: 40, errors: 2 })).toBe(5);
  expect(errorPercent({ rps: 0, errors: 0 })).toBeNull();
});

test("the load of an instance counts calls to the service only", () => {
  const now = { ...rate(4), inFlight: 0 };
  const part = { instance: "orders-1", ...rate(4), now };
  const edges = [
    edge("gateway", "orders", rate(4), { instances: [part] }),
    edge("web", "orders", rate(4), { instances: [part] }),
    edge("orders", "users", rate(4), { instances: [part] }),
  ];
  expect(loadByInstance(edges, "orders").get("orders-1")?.rps).toBe(8);
});

const history: InstanceHistory = {
  instance: "orders-1",
  start: { status: "gone" },
  transitions: [
    { at: "1970-01-01T00:00:10Z", status: "unknown", lifecycle: "serving", cause: "registered" },
    { at: "1970-01-01T00:00:20Z", status: "passing", lifecycle: "serving", cause: "check", check: "http" },
    { at: "1970-01-01T00:00:30Z", status: "passing", lifecycle: "serving", cause: "check", check: "tcp" },
    { at: "1970-01-01T00:00:40Z", status: "passing", lifecycle: "draining", cause: "lifecycle" },
  ],
};

test("a ribbon covers its time without gaps, and draining shows before health", () => {
  expect(statusSpans(history, 0, 60_000)).toEqual([
    { status: "absent", from: 0, to: 10_000 },
    { status: "unknown", from: 10_000, to: 20_000 },
    { status: "passing", from: 20_000, to: 40_000 },
    { status: "draining", from: 40_000, to: 60_000 },
  ]);
});

test("what was not kept is shown as unknown", () => {
  const cut = { ...history, start: { status: "passing" as const }, cutAt: "1970-01-01T00:00:10Z" };
  expect(statusSpans(cut, 0, 60_000)[0]).toEqual({ status: "unknown", from: 0, to: 20_000 });
});

test("a stopped or starting instance is not shown as healthy", () => {
  expect(rowStatus({ status: "passing", lifecycle: "stopped" })).toBe("draining");
  expect(rowStatus({ status: "passing", lifecycle: "starting" })).toBe("unknown");
  expect(rowStatus({ status: "critical", lifecycle: "serving" })).toBe("critical");
});

test("instances that have gone follow those that are present", () => {
  const present = { id: "orders-1", status: "passing", lifecycle: "serving", checks: [] } as unknown as Instance;
  const gone = { ...history, instance: "orders-0" };
  const rows = instanceRows(
    [present],
    new Map([
      ["orders-1", history],
      ["orders-0", gone],
    ]),
    new Map(),
  );
  expect(rows.map(({ id, status, since }) => [id, status, since])).toEqual([
    ["orders-1", "passing", 40_000],
    ["orders-0", "absent", 40_000],
  ]);
});

test("a policy must be a JSON object", () => {
  expect(jsonProblem("{}")).toBeUndefined();
  expect(jsonProblem("[]")).toBeDefined();
  expect(jsonProblem("{")).toContain("JSON");
});

test("the graph has the gateway, called and calling services, and those alone", () => {
  const graph = callGraph({
    namespace: "default",
    services: [summary({ service: "orders" }), summary({ service: "lonely" })],
    recent: [edge("gateway", "orders", rate(10, 1)), edge("orders", "users", rate(5))],
    known: [],
  });
  expect(graph.nodes.map(({ id }) => id)).toEqual(["default/orders", "default/users", "gateway"]);
  expect(graph.nodes.find(({ id }) => id === "default/users")?.summary).toBeUndefined();
  expect(graph.edges.map(({ from, to }) => `${from} ${to}`)).toEqual([
    "default/orders default/users",
    "gateway default/orders",
  ]);
  expect(graph.alone.map(({ service }) => service)).toEqual(["lonely"]);
});

test("calls before the time range are quiet, and hidden unless they are asked for", () => {
  const input = { namespace: "default", services: [], recent: [edge("a", "b")], known: [] };
  expect(callGraph({ ...input, recent: [edge("a", "b", rate(0))] }).edges).toEqual([]);
  const graph = callGraph({ ...input, known: [edge("a", "b"), edge("b", "c")] });
  expect(graph.edges.map(({ to, isQuiet }) => [to, isQuiet])).toEqual([
    ["default/b", false],
    ["default/c", true],
  ]);
});

test("busier edges are wider, up to a limit, and edges with errors are marked", () => {
  expect(edgeWidth(0)).toBe(1);
  expect(edgeWidth(1000)).toBeGreaterThan(edgeWidth(10));
  expect(edgeWidth(1e12)).toBe(8);
  expect(isBadEdge({ rps: 100, errors: 1, p99: null })).toBe(true);
  expect(isBadEdge({ rps: 1000, errors: 1, p99: null })).toBe(false);
});

test("a service with a critical instance counts as troubled", () => {
  const totals = totalsOf([summary({ instances: 2, passing: 1, critical: 1 }), summary({ instances: 1, passing: 1 })]);
  expect(totals).toEqual({ services: 2, troubled: 1, instances: 3, healthy: 2 });
});

const change = (id: string, at: string, kind: Change["kind"], subject: Change["subject"]): Change => ({
  id,
  at: `1970-01-01T01:${at}Z`,
  kind,
  subject,
  text: "",
});

test("before a problem came: changes of the last quarter of an hour, its own first, no consequences", () => {
  const problem: Problem = {
    id: "p",
    severity: "critical",
    kind: "service-down",
    subject: { type: "service", service: "orders" },
    since: "1970-01-01T01:30:00Z",
    text: "",
  };
  const set = (app: string): Change["subject"] => ({ type: "set", app, profile: "default" });
  const changes = [
    change("after", "31:00", "config-released", set("orders")),
    change("other", "29:00", "config-released", set("users")),
    change("health", "29:59", "instance-health", { type: "instance", service: "orders", instance: "orders-1" }),
    change("own", "20:00", "config-released", set("orders")),
    change("old", "10:00", "config-released", set("orders")),
  ];
  expect(changesBefore(problem, changes, 5).map(({ id }) => id)).toEqual(["own", "other"]);
  const { since: _, ...unknown } = problem;
  expect(changesBefore(unknown, changes, 5)).toEqual([]);
});

test("failing instances of a service that is down are parts of one problem", () => {
  const problem = (kind: string, service: string, instance?: string): Problem => ({
    id: `${kind} ${service} ${instance}`,
    severity: "critical",
    kind,
    subject: { type: "service", namespace: "default", service, ...(instance === undefined ? {} : { instance }) },
    text: "",
  });
  const groups = groupProblems([
    problem("service-down", "orders"),
    problem("instance-critical", "orders", "orders-1"),
    problem("instance-critical", "users", "users-1"),
  ]);
  expect(groups.map(({ problem: { subject }, parts }) => [subject.service, parts.length])).toEqual([
    ["orders", 1],
    ["users", 0],
  ]);
});

test("a span of the timeline is cut at its ends", () => {
  expect(spanWithin(-50, 50, { from: 0, to: 100 })).toEqual({ left: 0, width: 0.5 });
  expect(spanWithin(-50, -10, { from: 0, to: 100 })).toBeUndefined();
});

test("the share of an instance is its weight beside those of the others that receive requests", () => {
  const row = (id: string, weight: number, more: Partial<Instance> = {}) => {
    const instance = {
      id,
      weight,
      status: "passing",
      lifecycle: "serving",
      checks: [],
      ...more,
    } as unknown as Instance;
    return instanceRows([instance], new Map(), new Map())[0] as ReturnType<typeof instanceRows>[number];
  };
  const rows = [
    row("a", 100),
    row("b", 200, { status: "warning" }),
    row("c", 400, { status: "critical" }),
    row("d", 800, { lifecycle: "draining" }),
  ];
  expect(rows.map(receivesRequests)).toEqual([true, true, false, false]);
  expect([weightOfOthers(rows, "a"), weightOfOthers(rows, "c")]).toEqual([200, 300]);
  expect([sharePercent(100, 300), sharePercent(0, 0), sharePercent(1, 0)]).toEqual([25, 0, 100]);
});
