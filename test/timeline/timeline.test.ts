/** Recent changes and present problems, against a real control API. */
import { expect, test } from "vitest";
import type { ChangeList, ProblemList } from "#timeline/api";
import { eventually, type TestControl, withControl } from "#test/kit";

const INSTANCE = "/v1/services/web/instances/one";
const TTL = { address: "10.0.0.1", port: 80, probedBy: "agent", checks: [{ id: "up", type: "ttl", ttlSeconds: 60 }] };
const SET = "/v1/config/default/web/main";
const value = (text: string) => ({ items: { a: { format: "text", value: text } }, reason: `set ${text}` });

async function changesOf(control: TestControl, query = "", headers?: Record<string, string>): Promise<ChangeList> {
  const { status, json } = await control.call("GET", `/v1/changes${query}`, undefined, headers);
  expect(status).toBe(200);
  return json as unknown as ChangeList;
}

async function problemsOf(control: TestControl): Promise<ProblemList["problems"]> {
  const { json } = await control.call("GET", "/v1/problems");
  return (json as unknown as ProblemList).problems;
}

async function tokenOf(control: TestControl, request: object): Promise<Record<string, string>> {
  const { json } = await control.call("POST", "/v1/tokens", request);
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually("the token is known", async () => {
    return (await control.call("GET", "/v1/changes", undefined, headers)).status === 200;
  });
  return headers;
}

test("releases, rollbacks, tokens and instances are one list, newest first, with pages", async () => {
  await using control = await withControl();
  await control.call("POST", `${SET}/releases`, value("1"));
  await control.call("POST", `${SET}/releases`, value("2"));
  await control.call("POST", `${SET}/rollback`, { toVersion: 1, reason: "2 was wrong" });
  await control.call("PUT", INSTANCE, TTL);
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "passing" });
  await control.call("DELETE", INSTANCE);
  const { json } = await control.call("POST", "/v1/tokens", { name: "ci", policies: ["viewer"] });
  await control.call("DELETE", `/v1/tokens/${String(json["id"])}`);
  const wanted = [
    "token-revoked",
    "token-issued",
    "instance-gone",
    "instance-health",
    "instance-registered",
    "config-rolled-back",
    "config-released",
    "config-released",
    // The operator's token, at the first start.
    "token-issued",
  ];
  await eventually("all are listed", async () => {
    const { changes } = await changesOf(control);
    return changes.filter(({ kind }) => wanted.includes(kind)).length === wanted.length;
  });
  const { changes } = await changesOf(control);
  const shown = changes.filter(({ kind }) => !kind.startsWith("member-"));
  expect(shown.map(({ kind }) => kind)).toEqual(wanted);
  expect(shown.at(-1)).toMatchObject({ by: "start", to: "operator", subject: { type: "token", name: "operator" } });
  expect(shown.find(({ kind }) => kind === "config-rolled-back")).toMatchObject({
    version: 3,
    from: "2",
    to: "1",
    by: "operator",
    reason: "2 was wrong",
    subject: { type: "set", namespace: "default", app: "web", profile: "main" },
  });
  const ids: string[] = [];
  for (let page = await changesOf(control, "?limit=3"); ;) {
    ids.push(...page.changes.map(({ id }) => id));
    if (page.next === undefined) break;
    page = await changesOf(control, `?limit=3&before=${encodeURIComponent(page.next)}`);
  }
  expect(ids).toEqual(changes.map(({ id }) => id));
  expect((await control.call("GET", "/v1/changes?before=nothing")).json).toMatchObject({
    code: "TIMELINE_CURSOR_INVALID",
  });
});

test("changes are narrowed to a service with its config, and to a time", async () => {
  await using control = await withControl();
  await control.call("PUT", INSTANCE, TTL);
  await control.call("PUT", "/v1/services/other/instances/two", TTL);
  await control.call("POST", `${SET}/releases`, value("1"));
  await control.call("POST", "/v1/config/default/other/main/releases", value("1"));
  const web = ["config-released", "instance-registered"];
  const kindsOf = async (query: string) => (await changesOf(control, query)).changes.map(({ kind }) => kind);
  await eventually("both services are listed", async () => {
    return (await kindsOf("?service=web")).length === 2 && (await kindsOf("?service=other")).length === 2;
  });
  expect(await kindsOf("?service=web")).toEqual(web);
  expect(await kindsOf("?service=nothing")).toEqual([]);
  const { changes } = await changesOf(control);
  const middle = (changes[1] as ChangeList["changes"][number]).at;
  const [from, until] = await Promise.all([
    changesOf(control, `?since=${encodeURIComponent(middle)}`),
    changesOf(control, `?until=${encodeURIComponent(middle)}`),
  ]);
  expect(from.changes).toEqual(changes.filter(({ at }) => at >= middle));
  expect(until.changes).toEqual(changes.filter(({ at }) => at < middle));
  expect(until.changes.length).toBeGreaterThan(0);
  expect((await control.call("GET", "/v1/changes?since=yesterday")).status).toBe(400);
});

test("a reader sees no tokens, and a limited one only its namespace and apps", async () => {
  await using control = await withControl();
  await control.call("POST", `${SET}/releases`, value("1"));
  await control.call("POST", "/v1/config/other/web/main/releases", value("1"));
  await control.call("POST", "/v1/config/default/secretive/main/releases", value("1"));
  const all = await tokenOf(control, { name: "all", policies: ["viewer"] });
  const some = await tokenOf(control, { name: "some", policies: ["viewer"], namespaces: ["default"], apps: ["web"] });
  const sets = async (headers: Record<string, string>) =>
    (await changesOf(control, "", headers)).changes
      .filter(({ kind }) => !kind.startsWith("member-"))
      .map(({ kind, subject }) => `${kind} ${subject.namespace}/${subject.app}`);
  expect(await sets(all)).toHaveLength(3);
  expect(await sets(some)).toEqual(["config-released default/web"]);
});

test("an entry of the log and its release are one revision", async () => {
  await using control = await withControl();
  const { json } = await control.call("POST", `${SET}/releases`, value("1"));
  const { entries } = await control.store.range({ prefix: "/changes/log/" });
  const own = entries.filter(({ modRevision }) => modRevision === json["revision"]);
  expect(own).toHaveLength(1);
  expect(own[0]?.lease).toBeDefined();
});

test("problems name a service that is down, its failing check and its output, and end with them", async () => {
  await using control = await withControl();
  expect(await problemsOf(control)).toEqual([]);
  await control.call("PUT", INSTANCE, TTL);
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "critical", output: "disk is full" });
  await eventually("both are listed", async () => (await problemsOf(control)).length === 2);
  const [down, critical] = await problemsOf(control);
  expect(down).toMatchObject({ kind: "service-down", severity: "critical", subject: { service: "web" } });
  expect(critical).toMatchObject({ kind: "instance-critical", subject: { instance: "one" } });
  expect(critical?.text).toContain("disk is full");
  expect(critical?.since).toBeDefined();
  expect(down?.since).toBe(critical?.since);
  await control.call("PUT", `${INSTANCE}/checks/up`, { status: "passing" });
  await eventually("none is left", async () => (await problemsOf(control)).length === 0);
});

test("the member that runs is in the list of changes", async () => {
  await using control = await withControl();
  await eventually("it joined", async () => {
    return (await changesOf(control, "?kind=member-joined")).changes.length === 1;
  });
});
