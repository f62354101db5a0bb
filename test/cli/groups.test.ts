/** The verbs of the groups services, config, route, locks and tokens against a real control plane. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, tempFolder, type TempFolder } from "#test/kit";
import { withExplainer } from "../gateway/explain-kit.ts";
import { type ListeningControl, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: TempFolder;
const posthouse = (...args: Parameters<ListeningControl["posthouse"]>) => control.posthouse(...args);
/** A command that must succeed; returns what it prints. */
const ok = async (...args: Parameters<ListeningControl["posthouse"]>) => {
  const { code, out, err } = await posthouse(...args);
  expect([code, err.replace(/^nothing was changed\n$/, "")], args[0]).toEqual([0, expect.any(String)]);
  return out;
};

beforeAll(async () => {
  control = await withListeningControl(withExplainer());
  folder = await tempFolder();
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

test("an instance is registered, shown, drained, put back and deregistered", async () => {
  expect(await ok("services register orders orders-1 127.0.0.1:4001 --tag blue --meta tier=gold --zone eu")).toContain(
    "is registered",
  );
  expect(await posthouse("services register orders orders-1 127.0.0.1:4002 --cas 0")).toMatchObject({ code: 5 });
  expect(await ok("services register orders orders-1 127.0.0.1:4002 --dry-run")).toContain("port: 4002");
  expect(await posthouse("services register orders orders-1 here")).toMatchObject({ code: 2 });
  await eventually("it is listed", async () => (await ok("services ls -o name")) === "orders\n");
  expect(await ok("service ls")).toBe(await ok("services"));
  expect(JSON.parse(await ok("services show orders -o json"))).toMatchObject({
    instances: 1,
    list: [{ id: "orders-1", port: 4001, tags: ["blue"], metadata: { tier: "gold" }, zone: "eu" }],
  });
  expect(await ok("services show orders", { isInteractive: true })).toContain("default/orders");
  expect(await ok("services drain orders orders-1")).toContain("every subscriber has seen it");
  await eventually("it drains", async () => (await ok("instances orders")).includes("draining"));
  expect(await ok("services drain orders orders-1 --undo")).toBe("orders/orders-1 is serving\n");
  expect(await ok("services weight orders orders-1 10")).toBe("orders/orders-1 has weight 10\n");
  await eventually("it is seen", async () => /"weight": ?10\b/.test(await ok("instances orders -o json")));
  for (const weight of ["1001", "1.5", "heavy"]) {
    expect(await posthouse(`services weight orders orders-1 ${weight}`)).toMatchObject({ code: 2 });
  }
  expect(await ok("health orders --wait 30")).toBe("");
  expect(await ok("services deregister orders orders-1")).toContain("is deregistered");
});

test("services watch prints a line per change, and ends as Ctrl-C does", async () => {
  let isRegistered = false;
  const { code, out } = await posthouse("services register seed seed-1 127.0.0.1:1").then(() =>
    posthouse("services watch -o ndjson", {
      until(text) {
        if (!isRegistered && text.includes("seed-1")) {
          isRegistered = true;
          void posthouse("services register later later-1 127.0.0.1:2");
        }
        return text.includes("later-1");
      },
    }),
  );
  expect(code).toBe(130);
  const events = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  expect(events[0]).toMatchObject({ event: "present", instance: "seed-1" });
  expect(events.at(-1)).toMatchObject({ event: "registered", service: "later", status: "passing" });
});

test("config: set with --cas, validate, edit, diff, watch, promote, status", async () => {
  const value = (pool: number) => ({ input: `pool: ${pool}\n` });
  expect(await ok("config set dev/shop/main app.yaml --cas 0", value(1))).toContain("dev/shop/main@1");
  expect(await posthouse("config set dev/shop/main app.yaml --cas 0", value(2))).toMatchObject({ code: 5 });
  expect(await ok("config set dev/shop/main app.yaml --dry-run", value(2))).toBe(
    "changed app.yaml\n  -pool: 1\n  +pool: 2\n",
  );
  expect(await ok("config validate dev/shop/main app.yaml", value(1))).toBe("");
  expect(await posthouse("config validate dev/shop/main app.yaml", { input: "pool: [" })).toMatchObject({ code: 1 });
  expect(await ok("config ls -o name --namespace dev")).toBe("dev/shop/main\n");

  const editor = join(folder.path, "editor");
  await writeFile(editor, '#!/bin/sh\nsed -i s/1/3/ "$1"\n', { mode: 0o755 });
  expect(await ok("config edit dev/shop/main app.yaml", { environment: { EDITOR: editor } })).toContain(
    "dev/shop/main@2",
  );
  expect(await ok("config edit dev/shop/main app.yaml", { environment: { EDITOR: "true" } })).toBe("");
  expect((await posthouse("config edit dev/shop/main app.yaml", { environment: { EDITOR: "false" } })).code).toBe(1);
  expect(await ok("config diff dev/shop/main 1 2")).toContain("+pool: 3");

  expect(await ok("config promote shop/main --from dev --to prod --dry-run")).toContain("added app.yaml");
  expect(await ok("config promote shop/main --from dev --to prod")).toContain("prod/shop/main@1");
  expect(await ok("config diff dev/shop/main prod/shop/main")).toBe("");
  expect(await posthouse("config diff dev/shop/main prod/other/main")).toMatchObject({ code: 2 });

  let isReleased = false;
  const watched = await posthouse("config watch prod/shop/main -o ndjson", {
    until(text) {
      if (!isReleased) {
        isReleased = true;
        void posthouse("config set prod/shop/main more.txt", { input: "x" });
      }
      return text.includes('"added":["more.txt"]');
    },
  });
  expect(watched.code).toBe(130);
  expect(await posthouse("config status prod/shop/main")).toMatchObject({
    code: 0,
    err: "no subscriber follows this set\n",
  });
  expect(await posthouse("config status prod/shop/main --wait 5 -o json")).toMatchObject({ code: 0, out: "[]\n" });
});

test("a rollout is started, shown, promoted to its end, and another one aborted", { timeout: 60_000 }, async () => {
  await ok("config set roll/main app.yaml", { input: "a: 1\n" });
  const start = "config rollout start roll/main app.yaml --percent 10 --hold-seconds 600 --cas";
  expect(await posthouse("config rollout start roll/main app.yaml", { input: "a: 2\n" })).toMatchObject({ code: 2 });
  expect(await ok(`${start} 1`, { input: "a: 2\n" })).toContain("default/roll/main@2 has started");
  expect(JSON.parse(await ok("config rollout status roll/main -o json"))).toMatchObject({
    version: 2,
    state: "running",
  });
  expect(await ok("config rollout complete roll/main")).toContain("default/roll/main@2 is ");
  await eventually("it is live", async () => (await ok("config get roll/main app.yaml")) === "a: 2\n");
  expect(await ok(`${start} 2`, { input: "a: 3\n" })).toContain("@3 has started");
  await ok("config rollout abort roll/main --reason test");
  expect(await posthouse("config rollout status roll/main")).toMatchObject({ code: 3 });
  expect(await ok("config get roll/main app.yaml")).toBe("a: 2\n");
});

test("routes are added, listed, replaced and removed; comments stay", async () => {
  await ok("config set gateway gateway.yaml", { input: "# ours\nroutes: []\n" });
  expect(await ok("route add orders --path-prefix /orders --service orders")).toContain("default/gateway/default@2");
  expect(await posthouse("route add orders --path /x --service orders")).toMatchObject({ code: 5 });
  await ok("route add first --host shop.example.com --path /a --method get --service shop --before orders");
  const list = JSON.parse(await ok("route ls -o json")) as { name: string }[];
  expect(list.map(({ name }) => name)).toEqual(["first", "orders"]);
  expect(await ok("routes")).toContain("/orders/*");
  expect(await ok("route add orders --path-prefix /o --service orders --replace --dry-run")).toContain(
    "+    { name: orders, match: { path: { prefix: /o } }",
  );
  expect(await ok("route explain GET http://127.0.0.1/orders/1 --json")).toContain('"orders"');
  await ok("route rm first");
  expect(await posthouse("route rm first")).toMatchObject({ code: 3 });
  expect(await ok("config get gateway gateway.yaml")).toContain("# ours");
});

test("tokens are inspected, locks broken after a confirmation, and the whole is summed up", async () => {
  expect(await ok("tokens inspect")).toContain("operator");
  const { id } = await control.client.registry.openSession(60);
  await control.client.locks.acquire({ namespace: "default", name: "nightly" }, { session: id });
  await eventually("it is listed", async () => (await ok("locks -o name")) === "nightly\n");
  expect(await posthouse("locks break nightly --reason gone")).toMatchObject({ code: 2 });
  expect(await ok("locks break nightly --reason gone --yes")).toContain("is broken");
  expect(JSON.parse(await ok("status -o json"))).toMatchObject({
    members: expect.any(Number) as number,
    services: { total: 2 },
  });
  expect(await ok("top")).toContain("SERVICE\tINSTANCES");
  expect(await ok("cheat services")).toContain("posthouse services ls");
  expect(await posthouse("cheat nothing")).toMatchObject({ code: 2 });
});

test(
  "bench measures in a namespace of its own, and asks before it leaves this machine",
  { timeout: 60_000 },
  async () => {
    const rows = JSON.parse(await ok("bench registry --seconds 0.2 -o json")) as {
      operation: string;
      calls: number;
      errors: number;
    }[];
    expect(rows.map(({ operation }) => operation)).toEqual(["register", "discover"]);
    for (const row of rows) expect(row).toMatchObject({ errors: 0 });
    const { services } = await control.client.registry.services("default");
    expect(services.map(({ service }) => service)).not.toContain("bench");
    expect(await posthouse("bench registry --control-urls http://192.0.2.1:8500")).toMatchObject({ code: 2 });
    expect(await posthouse("bench everything")).toMatchObject({ code: 2 });
  },
);
