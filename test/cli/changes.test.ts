/** Drafts, proposals, reviews, rules, reveals, search and policies against a real control plane; and the namespace of a context. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { eventually, tempFolder, type TempFolder } from "#test/kit";
import { heldKeys, key } from "../config-server/secrets-kit.ts";
import { type ListeningControl, run, type RunOptions, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: TempFolder;
/** The token of a second author, since no author reviews a proposal of their own. */
let ann: Record<string, string>;

type Posthouse = ListeningControl["posthouse"];
const posthouse: Posthouse = (...args) => control.posthouse(...args);
/** A command that must succeed; returns what it prints. */
const ok = async (...args: Parameters<Posthouse>) => {
  const { code, out, err } = await posthouse(...args);
  expect([code, err], args[0]).toEqual([0, expect.any(String)]);
  return out;
};
const asAnn = (line: string, options: RunOptions = {}) => ok(line, { ...options, environment: ann });
const value = (pool: number): RunOptions => ({ input: `pool: ${pool}\n` });

beforeAll(async () => {
  control = await withListeningControl({ secretKeys: heldKeys(key("a", 1)) });
  folder = await tempFolder();
  ann = { POSTHOUSE_TOKEN: (await ok("tokens create ann --policy editor")).trim() };
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

test("a change is drafted, proposed, reviewed and published where a review is required", async () => {
  await ok("config put prod/shop/main app.yaml", value(1));
  await ok("config put prod/shop/main old.txt", { input: "x" });
  expect(await ok("config rules set --namespace prod --review required")).toContain("review required");
  expect(await posthouse("config put prod/shop/main app.yaml", value(2))).toMatchObject({
    code: 4,
    err: expect.stringContaining("CONFIG_REVIEW_REQUIRED") as string,
  });

  expect(await asAnn("config drafts set prod/shop/main app.yaml --dry-run", value(2))).toContain("+pool: 2");
  expect(await ok("config drafts ls prod/shop/main")).toBe("");
  expect(await asAnn("config drafts set prod/shop/main app.yaml", value(2))).toContain("is drafted");
  expect(await asAnn("config drafts set prod/shop/main old.txt --remove")).toContain("the removal of old.txt");
  expect(JSON.parse(await ok("config drafts prod/shop/main -o json"))).toMatchObject([
    { key: "app.yaml", author: "ann", baseVersion: 2, item: { format: "yaml", value: "pool: 2\n" } },
    { key: "old.txt", author: "ann", item: null },
  ]);
  expect(await ok("config drafts ls prod/shop/main --author operator")).toBe("");

  const id = (await asAnn("config propose prod/shop/main --keys app.yaml --reason more")).trim();
  expect(id).toMatch(/^[0-9a-f]+$/);
  expect(await asAnn("config drafts ls prod/shop/main -o name")).toBe("old.txt\n");
  const shown = await ok(`config proposals show prod/shop/main ${id}`);
  expect(shown).toContain("changed app.yaml\n  -pool: 1\n  +pool: 2\n");
  expect(shown).not.toContain("old.txt");
  expect(await posthouse(`config review prod/shop/main ${id} --approve`, { environment: ann })).toMatchObject({
    code: 4,
    err: expect.stringContaining("CONFIG_REVIEW_OWN") as string,
  });
  expect(await posthouse(`config review prod/shop/main ${id}`)).toMatchObject({ code: 2 });
  expect(await posthouse(`config review prod/shop/main ${id} --approve --reject`)).toMatchObject({ code: 2 });
  expect(await posthouse(`config publish prod/shop/main ${id}`)).toMatchObject({ code: 4 });
  expect(await ok(`config review prod/shop/main ${id} --approve --comment fine`)).toContain("is approved");
  expect(await ok("config proposals ls prod/shop/main -o tsv")).toContain(`${id}\tapproved\tann\t`);
  expect(await ok(`config publish prod/shop/main ${id}`)).toBe(`prod/shop/main@3 is released from proposal ${id}\n`);
  expect(await ok("config get prod/shop/main app.yaml")).toBe("pool: 2\n");
  expect(await ok(`config proposals show prod/shop/main ${id} -o json`)).toContain('"comment": "fine"');
});

test("a draft is discarded after a confirmation; proposals are rejected and withdrawn", async () => {
  await ok("config put drafty app.yaml", value(1));
  await asAnn("config drafts set drafty app.yaml", value(3));
  expect(await posthouse("config drafts rm drafty app.yaml", { environment: ann })).toMatchObject({ code: 2 });
  expect(await asAnn("config drafts rm drafty app.yaml --yes")).toContain("is discarded");
  expect(await posthouse("config propose drafty", { environment: ann })).toMatchObject({ code: 5 });
  const proposed = async (pool: number) => {
    await asAnn("config drafts set drafty app.yaml", value(pool));
    return (await asAnn("config propose drafty")).trim();
  };
  const first = await proposed(4);
  expect(await asAnn(`config proposals withdraw drafty ${first}`)).toContain("is withdrawn");
  const second = await proposed(5);
  expect(await ok(`config review drafty ${second} --reject --comment no`)).toContain("is rejected");
  expect(await ok("config proposals drafty -o json").then((text) => JSON.parse(text) as unknown)).toMatchObject([
    { id: second, state: "rejected" },
    { id: first, state: "withdrawn" },
  ]);
  const third = await proposed(6);
  expect(await ok(`config publish drafty ${third} --percent 10 --hold-seconds 600`)).toContain("rollout of default");
  await ok("config rollout abort drafty");
});

test("rules that are not given stay, and --cas protects a change", async () => {
  expect(await posthouse("config rules set --namespace limited")).toMatchObject({ code: 2 });
  expect(await posthouse("config rules set --namespace limited --keys 0")).toMatchObject({ code: 2 });
  await ok("config rules set --namespace limited --review required --keys 5 --value-bytes 100");
  await ok("config rules set --namespace limited --value-bytes none");
  const rules = JSON.parse(await ok("config rules get --namespace limited -o json")) as { revision: number };
  expect(rules).toMatchObject({ namespace: "limited", review: "required", limits: { keys: 5 } });
  expect(rules).not.toHaveProperty("limits.valueBytes");
  await ok(`config rules set --namespace limited --review optional --cas ${rules.revision}`);
  expect(
    await posthouse(`config rules set --namespace limited --review required --cas ${rules.revision}`),
  ).toMatchObject({ code: 5 });
  expect(await ok("config rules --namespace limited")).toContain("optional");
});

test("a secret is revealed with a reason only, and the search finds live lines", async () => {
  await ok("config put vault db.password --secret", { input: "hunter2" });
  expect(await posthouse("config reveal vault db.password")).toMatchObject({ code: 2, out: "" });
  expect(await posthouse("config reveal vault db.password --reason test", { environment: ann })).toMatchObject({
    code: 4,
  });
  expect(await ok("config reveal vault db.password --reason incident-7")).toBe("hunter2");
  const audit = await control.client.system.answer<{ records: unknown[] }>("GET", "/v1/config-audit");
  expect(audit.body.records).toMatchObject([{ key: "db.password", reason: "incident-7", who: "operator" }]);

  await ok("config put seek/main app.yaml", { input: "host: needle.example\n" });
  expect(await ok("config search needle -o tsv")).toBe("default/seek/main\t1\tapp.yaml\t1\thost: needle.example\n");
  expect(await ok("config search needle --namespace other")).toBe("");
});

test("the policy of a service is set, shown and deleted after a confirmation", async () => {
  await ok("services register orders orders-1 127.0.0.1:4001");
  expect(await ok("services policy set orders", { input: "minHealthyPercent: 40\n" })).toContain("is set");
  await eventually("it is shown", async () => (await ok("services policy get orders")) === "minHealthyPercent: 40\n");
  const file = join(folder.path, "policy.json");
  await writeFile(file, await ok("services policy get orders -o json"));
  expect(await ok(`services policy set orders ${file}`)).toContain("is set");
  expect(await posthouse("services policy set orders", { input: "minHealthy: 40\n" })).toMatchObject({ code: 2 });
  expect(await posthouse("services policy set orders", { input: "40\n" })).toMatchObject({ code: 2 });
  expect(await posthouse("services policy rm orders")).toMatchObject({ code: 2 });
  await ok("services policy rm orders --yes");
  await eventually(
    "it is gone",
    async () => Object.keys(parse(await ok("services policy orders")) as object).length === 0,
  );
  expect(await posthouse("services policy rm orders --yes")).toMatchObject({ code: 3 });
});

test("a context has a namespace; a flag overrides the variable, and the variable the context", async () => {
  const environment = {
    XDG_CONFIG_HOME: join(folder.path, "contexts"),
    POSTHOUSE_CONTROL_URLS: control.url,
    POSTHOUSE_TOKEN: control.token,
  };
  const here = async (line: string, options: RunOptions = {}) => {
    const { code, out, err } = await run(line.split(" "), {
      ...options,
      environment: { ...environment, ...options.environment },
    });
    expect([code, err], line).toEqual([0, expect.any(String)]);
    return out;
  };
  const bad = await run(["context", "set", "shop", "--namespace", "Shop_1"], { environment });
  expect(bad).toMatchObject({ code: 2, err: expect.stringContaining("not a valid namespace") as string });
  await here(`context set shop --control-urls ${control.url} --token -`, { input: control.token });
  await here("context set shop --namespace shop-eu");
  expect(await here("context ls -o tsv")).toContain("shop-eu");
  expect(JSON.parse(await here("context show -o json"))).toMatchObject({
    namespace: "shop-eu",
    namespaceFrom: "context",
  });

  await here("services register cart cart-1 127.0.0.1:4009");
  await eventually("the context's namespace has it", async () => (await here("services -o name")) === "cart\n");
  expect(await here("services -o name --namespace default")).not.toContain("cart");
  const other = { environment: { POSTHOUSE_NAMESPACE: "shop-us" } };
  expect(await here("services -o name", other)).toBe("");
  expect(await here("services -o name --namespace shop-eu", other)).toBe("cart\n");
  // A context that a flag names is a flag.
  expect(await here("services -o name --context shop", other)).toBe("cart\n");

  expect(await here("config put cart app.yaml", value(1))).toContain("shop-eu/cart/default@1");
  expect(await here("config put cart app.yaml --namespace default", value(1))).toContain("default/cart/default@1");
  expect(await here("config put us/cart/main app.yaml", value(1))).toContain("us/cart/main@1");
  const absent = await run(["config", "history", "cart"], { environment: { ...environment, ...other.environment } });
  expect(absent).toMatchObject({ code: 3, err: expect.stringContaining("shop-us/cart/default") as string });
  // Lists over all namespaces still have all of them.
  expect(await here("config ls -o name")).toContain("us/cart/main");
  expect(await here("__complete keys cart")).toBe("app.yaml\n");
});
