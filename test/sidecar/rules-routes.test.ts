/** The routes of service rules: calls of every namespace are judged, a text is judged before its release, and a call by itself. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { serviceRulesReleaseCheck } from "#sidecar/rules";
import { eventually, type TestControl, withControl } from "#test/kit";

let control: TestControl;
beforeAll(async () => {
  control = await withControl({ releaseChecks: [serviceRulesReleaseCheck] });
  await report("shop", [
    { from: "web", to: "stock", requests: 9 },
    { to: "stock", requests: 5 },
    { from: "web", to: "elsewhere", toNamespace: "far", requests: 100 },
  ]);
  // One request in an hour still counts: a rate would round it away.
  await report("far", [
    { from: "batch", to: "stock", toNamespace: "shop", requests: 1 },
    { to: "stock", toNamespace: "shop", requests: 2 },
  ]);
  await eventually("the calls are known", async () => ((await rules())["calls"] as unknown[]).length === 3);
});
afterAll(() => control[Symbol.asyncDispose]());

async function report(namespace: string, edges: readonly object[]) {
  const { status } = await control.call("POST", `/v1/traffic?namespace=${namespace}`, { reporter: "t", edges });
  expect(status).toBe(204);
}
const rules = async (query = "") => (await control.call("GET", `/v1/service-rules?namespace=shop${query}`)).json;
const check = async (text: string, more: object = {}) =>
  (await control.call("POST", "/v1/service-rules/check", { namespace: "shop", text, ...more })).json;
const callsIn = (judged: unknown) =>
  (judged as { calls: { from: string; to: string; requests: number; allowed: boolean }[] }).calls.map(
    ({ from, to, requests, allowed }) => [from, to, requests, allowed],
  );

test("without rules, every call of each namespace is allowed, the busiest first", async () => {
  const answer = await rules();
  expect(answer).toMatchObject({ namespace: "shop", strict: false, reportOnly: false, rules: [], omitted: 0 });
  expect(callsIn(answer)).toEqual([
    ["web", "stock", 9, true],
    ["gateway", "stock", 7, true],
    ["far/batch", "stock", 1, true],
  ]);
});

test("a text is judged without a release, and a release changes the answer", async () => {
  const text = "rules:\n  - gateway may call *\n  - far/batch may call stock\n";
  const { problems, judged } = await check(text);
  expect(problems).toEqual([]);
  const verdicts = [
    ["web", "stock", 9, false],
    ["gateway", "stock", 7, true],
    ["far/batch", "stock", 1, true],
  ];
  expect(callsIn(judged)).toEqual(verdicts);
  expect(callsIn(await rules()).every(([, , , allowed]) => allowed)).toBe(true);
  const items = { "service-rules.yaml": { format: "yaml", value: text } };
  const { status } = await control.call("POST", "/v1/config/shop/posthouse/default/releases", { items });
  expect(status).toBe(201);
  await eventually("the rules are live", async () => ((await rules())["rules"] as unknown[]).length === 2);
  expect(callsIn(await rules())).toEqual(verdicts);
});

test("one call is tested by the released rules, and by a text", async () => {
  expect((await rules("&from=far/batch&to=stock"))["tested"]).toEqual({
    allowed: true,
    reportOnly: false,
    rule: "far/batch may call stock",
    line: 3,
    why: 'rule "far/batch may call stock" in line 3',
  });
  const { judged } = await check("strict: true\nreportOnly: true\n", { from: "gateway", to: "new" });
  expect((judged as { tested: object }).tested).toMatchObject({ allowed: false, reportOnly: true });
});

test("problems name their line, and nothing is judged by a text that has some", async () => {
  const { problems, judged } = await check("rules:\n  - web can call stock\n");
  expect(problems).toMatchObject([{ line: 2, pointer: "/rules/0" }]);
  expect(judged).toBeUndefined();
});

test("a caller without the namespace reads neither rules nor calls of it", async () => {
  const { json } = await control.call("POST", "/v1/tokens", { name: "far", policies: ["viewer"], namespaces: ["far"] });
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  const read = await control.call("GET", "/v1/service-rules?namespace=shop", undefined, headers);
  const asked = await control.call("POST", "/v1/service-rules/check", { namespace: "shop", text: "" }, headers);
  expect([read.status, asked.status]).toEqual([403, 403]);
  expect((await control.call("GET", "/v1/service-rules?namespace=far", undefined, headers)).status).toBe(200);
});
