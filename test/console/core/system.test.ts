/** The control plane as the console shows it: gateways, agents, readiness, sizes and checks. */
import { describe, expect, test } from "vitest";
import type { AcknowledgementList } from "#config-server/api";
import type { Instance } from "#registry/api";
import type { SystemReport } from "#server/api";
import { type CheckFacts, SYSTEM_CHECKS } from "../../../console/pages/system/checks.ts";
import { agentRows, byteParts, gatewayRows, reasonsIn } from "../../../console/pages/system/core.ts";

const AT = "2026-06-01T00:00:00Z";
const NOW_MS = Date.parse(AT);

function acknowledged(subscriber: string, more: object = {}): AcknowledgementList["subscribers"][number] {
  const versions = { "default/gateway/default": 3 };
  return {
    subscriber,
    labels: {},
    releaseKey: "k",
    outcome: "applied",
    at: AT,
    current: true,
    present: true,
    versions,
    ...more,
  };
}
const list = (subscribers: AcknowledgementList["subscribers"], silent: string[] = []): AcknowledgementList => ({
  releaseKey: "k",
  applied: 0,
  failed: 0,
  behind: 0,
  subscribers,
  silent: silent.map((subscriber) => ({ subscriber, labels: {}, since: AT })),
});

test("gateways: live, behind, rejected, silent", () => {
  const rows = gatewayRows(
    list(
      [
        acknowledged("a"),
        acknowledged("b", { current: false, versions: undefined }),
        acknowledged("c", { outcome: "failed", error: "no such service", present: false }),
      ],
      ["d"],
    ),
    "default",
  );
  expect(rows.map(({ name, state, version, isConnected }) => [name, state, version, isConnected])).toEqual([
    ["a", "current", 3, true],
    ["b", "behind", undefined, true],
    ["c", "failed", 3, false],
    ["d", "silent", undefined, true],
  ]);
});

test("agents are the owners of instances; an instance without an owner has none", () => {
  const instances = [
    { owner: "h1", service: "b", status: "passing" },
    { owner: "h1", service: "a", status: "critical" },
    { owner: undefined, service: "c", status: "passing" },
  ] as unknown as readonly Instance[];
  expect(agentRows(instances)).toEqual([
    { name: "h1", instances: 2, passing: 1, warning: 0, critical: 1, unknown: 0, services: ["a", "b"] },
  ]);
});

test("reasons and sizes", () => {
  expect(reasonsIn("Not ready: registry: the store is slow; gateway: no routes.")).toEqual([
    "registry: the store is slow",
    "gateway: no routes",
  ]);
  expect([0, 1, 1023, 1024, 1536, 5 * 1024 ** 3].map(byteParts)).toEqual([
    [0, "B"],
    [1, "B"],
    [1023, "B"],
    [1, "KiB"],
    [1.5, "KiB"],
    [5, "GiB"],
  ]);
});

describe("checks", () => {
  const report: SystemReport = {
    version: "1",
    node: "26",
    member: "m",
    startedAt: AT,
    memoryBytes: 1,
    sessions: 0,
    store: { engine: "lmdb", revision: 1, compactedRevision: 0 },
    certificates: [],
  };
  const facts: CheckFacts = {
    namespace: "default",
    nowMs: NOW_MS,
    readiness: { isReady: true, reasons: [], degraded: [] },
    report,
    secrets: { source: "file", keys: [{ id: "k", values: 2, here: true }], unreadable: [] },
    gateways: list([acknowledged("a")]),
    ago: (time) => time,
  };
  // Each text is its own name, so that a level is judged and not a wording.
  const words = new Proxy(
    {},
    { get: (_, name) => (name.toString().startsWith("engine_") ? String(name) : () => String(name)) },
  );
  const levels = (more: Partial<CheckFacts> = {}) =>
    Object.fromEntries(
      SYSTEM_CHECKS.map(({ id, run }) => [id, run({ ...facts, ...more }, words as Parameters<typeof run>[1])?.level]),
    );
  const withCertificate = (days: number): Partial<CheckFacts> => ({
    report: {
      ...report,
      certificates: [{ name: "gateway", expiresAt: new Date(NOW_MS + days * 86_400_000).toISOString() }],
    },
  });

  test("all well", () => {
    expect(levels()).toEqual({ ready: "ok", store: "ok", secrets: "ok", certificates: "skip", gateways: "ok" });
  });

  test.each([
    ["ready", "fail", { readiness: { isReady: false, reasons: ["x"], degraded: [] } }],
    ["ready", "warn", { readiness: { isReady: true, reasons: [], degraded: ["x"] } }],
    ["ready", undefined, { readiness: undefined }],
    ["store", "warn", { report: { ...report, store: { engine: "memory", revision: 1, compactedRevision: 0 } } }],
    ["secrets", "skip", { secrets: "hidden" }],
    ["secrets", "skip", { secrets: { source: "", keys: [], unreadable: [] } }],
    ["secrets", "fail", { secrets: { source: "file", keys: [], unreadable: [], problem: "x" } }],
    ["certificates", "ok", withCertificate(31)],
    ["certificates", "warn", withCertificate(29)],
    ["certificates", "fail", withCertificate(0)],
    ["gateways", "skip", { gateways: list([]) }],
    ["gateways", "warn", { gateways: list([acknowledged("a")], ["b"]) }],
    // A gateway that is gone does not count.
    ["gateways", "ok", { gateways: list([acknowledged("a"), acknowledged("b", { current: false, present: false })]) }],
  ] as [string, string | undefined, Partial<CheckFacts>][])("%s: %s", (id, level, more) => {
    expect(levels(more)[id]).toBe(level);
  });

  test("a store that does not answer fails", () => {
    const { store: _, ...rest } = report;
    expect(levels({ report: rest })["store"]).toBe("fail");
  });
});
