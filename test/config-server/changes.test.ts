/** The life of a change: drafted, proposed, reviewed by another person, released; and the differences on the way. */
import { expect, test } from "vitest";
import { type TestControl, withControl } from "#test/kit";

const SET = "/v1/config/default/orders/default";

/** Calls as people of their own. */
async function people(control: TestControl) {
  const as = async (name: string, role: string) => {
    const { json } = await control.call("POST", "/v1/tokens", { name, policies: [role] });
    const headers = { authorization: `Bearer ${String(json["token"])}` };
    return (method: string, path: string, body?: unknown) => control.call(method, path, body, headers);
  };
  return {
    ann: await as("ann", "editor"),
    ben: await as("ben", "editor"),
    olga: await as("olga", "operator"),
    rita: await as("rita", "viewer"),
  };
}

const text = (value: string) => ({ format: "text", value });

async function release(control: TestControl, items: Record<string, string>, set = SET) {
  const body = { items: Object.fromEntries(Object.entries(items).map(([key, value]) => [key, text(value)])) };
  const done = await control.call("POST", `${set}/releases`, body);
  expect(done.status).toBe(201);
}

const values = async (control: TestControl, set = SET) => {
  const { json } = await control.call("GET", set);
  const items = json["items"] as Record<string, { value: string }>;
  return Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value]));
};

test("a change is drafted, proposed, approved by another person and released by an operator, and all steps are recorded", async () => {
  await using control = await withControl();
  const { ann, ben, olga, rita } = await people(control);
  await release(control, { "a.txt": "one", "b.txt": "two" });
  expect((await olga("PUT", "/v1/config/default/rules", { review: "required" })).status).toBe(200);

  expect((await rita("PUT", `${SET}/drafts/a.txt`, { value: "x" })).status).toBe(403);
  expect((await ann("PUT", `${SET}/drafts/a.txt`, { value: "uno" })).json).toMatchObject({
    author: "ann",
    baseVersion: 1,
  });
  expect((await ann("PUT", `${SET}/drafts/b.txt`, { remove: true })).status).toBe(200);
  expect((await ann("PUT", `${SET}/drafts/c.txt`, { value: "later" })).status).toBe(200);
  expect((await ann("GET", `${SET}/diff?to=drafts`)).json["differences"]).toMatchObject([
    { key: "a.txt", kind: "changed", lines: ["-one", "+uno"] },
    { key: "b.txt", kind: "removed" },
    { key: "c.txt", kind: "added" },
  ]);
  const proposed = await ann("POST", `${SET}/proposals`, { reason: "in Italian", keys: ["a.txt", "b.txt"] });
  expect(proposed).toMatchObject({ status: 201, json: { state: "open", author: "ann", baseVersion: 1 } });
  const proposal = `${SET}/proposals/${String(proposed.json["id"])}`;
  expect((await ann("GET", `${SET}/drafts?author=ann`)).json["drafts"]).toMatchObject([{ key: "c.txt" }]);

  expect((await olga("POST", `${proposal}/publish`, {})).json).toMatchObject({ code: "CONFIG_REVIEW_REQUIRED" });
  expect((await ann("POST", `${proposal}/reviews`, { verdict: "approve" })).json).toMatchObject({
    code: "CONFIG_REVIEW_OWN",
  });
  expect((await ben("POST", `${proposal}/publish`, {})).status, "an editor does not publish").toBe(403);
  expect((await ben("POST", `${proposal}/reviews`, { verdict: "approve", comment: "va bene" })).status).toBe(200);
  expect((await olga("POST", `${proposal}/publish`, {})).json).toMatchObject({
    version: 2,
    author: "olga",
    approvedBy: ["ben"],
    proposal: proposed.json["id"],
    reason: "in Italian",
  });
  expect(await values(control)).toEqual({ "a.txt": "uno" });
  expect((await ann("GET", proposal)).json).toMatchObject({ state: "published", version: 2 });
  expect((await olga("POST", `${proposal}/publish`, {})).json).toMatchObject({ code: "CONFIG_PROPOSAL_CLOSED" });
});

test("where a review is required, only an emergency release with a reason bypasses it, and stays marked as one", async () => {
  await using control = await withControl();
  await release(control, { "a.txt": "one" });
  await control.call("PUT", "/v1/config/default/rules", { review: "required" });
  const items = { "a.txt": text("two") };
  const refused = { status: 403, json: { code: "CONFIG_REVIEW_REQUIRED" } };
  expect(await control.call("POST", `${SET}/releases`, { items })).toMatchObject(refused);
  expect(await control.call("PUT", `${SET}/keys/a.txt`, text("two"))).toMatchObject(refused);
  expect(await control.call("POST", `${SET}/rollback`, { toVersion: 1 })).toMatchObject(refused);
  expect(await control.call("POST", `${SET}/releases`, { items, emergency: true })).toMatchObject({
    status: 400,
    json: { code: "CONFIG_EMERGENCY_REASON", field: "/reason" },
  });
  const done = await control.call("POST", `${SET}/releases`, { items, emergency: true, reason: "the site is down" });
  expect(done).toMatchObject({ status: 201, json: { emergency: true, version: 2 } });
  const { json } = await control.call("GET", `${SET}/releases`);
  expect(json["releases"]).toMatchObject([{ version: 2, emergency: true }, { version: 1 }]);
});

test("a proposal that others overtook is merged where they touched other keys, and refused where they touched its own", async () => {
  await using control = await withControl();
  const { ann, olga } = await people(control);
  await release(control, { "a.txt": "one", "b.txt": "one" });
  await ann("PUT", `${SET}/drafts/a.txt`, { value: "ann" });
  const first = (await ann("POST", `${SET}/proposals`, {})).json["id"] as string;
  await ann("PUT", `${SET}/drafts/b.txt`, { value: "ann" });
  const second = (await ann("POST", `${SET}/proposals`, {})).json["id"] as string;
  await release(control, { "a.txt": "one", "b.txt": "others" });
  expect((await olga("POST", `${SET}/proposals/${first}/publish`, {})).status).toBe(201);
  expect(await values(control)).toEqual({ "a.txt": "ann", "b.txt": "others" });
  expect((await olga("POST", `${SET}/proposals/${second}/publish`, {})).json).toMatchObject({
    code: "CONFIG_PROPOSAL_OUTDATED",
    keys: ["b.txt"],
  });
  expect((await ann("DELETE", `${SET}/proposals/${second}`)).json).toMatchObject({ state: "withdrawn" });
});

test("a rejected proposal is closed, and an invalid one cannot be opened", async () => {
  await using control = await withControl();
  const { ann, ben, olga } = await people(control);
  await ann("PUT", `${SET}/drafts/a.yaml`, { value: "a: [" });
  expect(await ann("POST", `${SET}/proposals`, {})).toMatchObject({
    status: 422,
    json: { code: "CONFIG_VALUE_INVALID" },
  });
  expect((await ann("GET", `${SET}/drafts`)).json["drafts"], "the draft is kept").toHaveLength(1);
  await ann("PUT", `${SET}/drafts/a.yaml`, { value: "a: []" });
  const { json } = await ann("POST", `${SET}/proposals`, {});
  const path = `${SET}/proposals/${String(json["id"])}`;
  await ben("POST", `${path}/reviews`, { verdict: "reject", comment: "why?" });
  expect((await olga("POST", `${path}/publish`, {})).json).toMatchObject({ code: "CONFIG_PROPOSAL_CLOSED" });
  expect((await ann("POST", `${SET}/proposals`, {})).json).toMatchObject({ code: "CONFIG_NOTHING_TO_PROPOSE" });
  expect((await ann("DELETE", `${SET}/drafts/a.yaml`)).json).toMatchObject({ code: "CONFIG_DRAFT_NOT_FOUND" });
  expect((await ann("PUT", `${SET}/drafts/a.yaml`, { value: "x", remove: true })).json).toMatchObject({
    code: "CONFIG_DRAFT_INVALID",
    field: "/remove",
  });
});

test("of many who publish one proposal at once exactly one does", async () => {
  await using control = await withControl();
  const { ann, olga } = await people(control);
  await ann("PUT", `${SET}/drafts/a.txt`, { value: "x" });
  const { json } = await ann("POST", `${SET}/proposals`, {});
  const path = `${SET}/proposals/${String(json["id"])}/publish`;
  const done = await Promise.all(Array.from({ length: 8 }, () => olga("POST", path, {})));
  expect(done.filter(({ status }) => status === 201)).toHaveLength(1);
  expect((await control.call("GET", `${SET}/releases`)).json["releases"]).toHaveLength(1);
});

test("a release is promoted whole or by key; where a review is required it is proposed there", async () => {
  await using control = await withControl();
  const { ben, olga } = await people(control);
  const prod = "/v1/config/prod/orders/default";
  await release(control, { "a.txt": "new", "b.txt": "new" });
  await release(control, { "a.txt": "old", "b.txt": "old", "c.txt": "prod's own" }, prod);
  expect((await olga("POST", `${SET}/promote`, { toNamespace: "prod", keys: ["a.txt"] })).json).toMatchObject({
    namespace: "prod",
    version: 2,
    promotedFrom: "default/orders/default@1",
  });
  expect(await values(control, prod)).toEqual({ "a.txt": "new", "b.txt": "old", "c.txt": "prod's own" });
  const { json } = await control.call("GET", `${SET}/diff?toNamespace=prod`);
  expect(json["differences"]).toMatchObject([
    { key: "b.txt", kind: "changed", lines: ["-new", "+old"] },
    { key: "c.txt", kind: "added" },
  ]);
  await olga("PUT", "/v1/config/prod/rules", { review: "required" });
  const proposed = await olga("POST", `${SET}/promote`, { toNamespace: "prod" });
  expect(proposed).toMatchObject({
    status: 202,
    json: { namespace: "prod", promotedFrom: "default/orders/default@1" },
  });
  const path = `${prod}/proposals/${String(proposed.json["id"])}`;
  await ben("POST", `${path}/reviews`, { verdict: "approve" });
  expect((await olga("POST", `${path}/publish`, {})).json).toMatchObject({ promotedFrom: "default/orders/default@1" });
  expect(await values(control, prod)).toEqual({ "a.txt": "new", "b.txt": "new" });
  expect((await olga("POST", `${SET}/promote`, { toNamespace: "prod", keys: ["nope"] })).json).toMatchObject({
    code: "CONFIG_KEY_NOT_FOUND",
  });
});

test("a search finds keys and lines of what is live", async () => {
  await using control = await withControl();
  await release(control, { "db.txt": "url: old\nuser: me", "other.txt": "nothing" });
  await release(control, { "db.txt": "url: db.example\nuser: me", "other.txt": "nothing" });
  const search = async (query: string) => (await control.call("GET", `/v1/config-search?text=${query}`)).json;
  expect(await search("url%3A")).toMatchObject({
    hits: [{ app: "orders", version: 2, key: "db.txt", line: 1, text: "url: db.example" }],
    more: false,
  });
  expect((await search("db"))["hits"]).toMatchObject([{ line: 0, text: "db.txt" }, { line: 1 }]);
  expect((await search("old"))["hits"]).toEqual([]);
});

test("a key and the rules are changed only on what was read, where one asks for that", async () => {
  await using control = await withControl();
  const key = `${SET}/keys/a.txt`;
  expect((await control.call("PUT", `${key}?expectedVersion=0`, "one")).status).toBe(201);
  expect((await control.call("PUT", `${key}?expectedVersion=0`, "two")).json).toMatchObject({
    code: "CONFIG_VERSION_CONFLICT",
    version: 1,
  });
  expect((await control.call("DELETE", `${key}?expectedVersion=7`)).json["code"]).toBe("CONFIG_VERSION_CONFLICT");
  expect((await control.call("DELETE", `${key}?expectedVersion=1`)).status).toBe(201);
  const rules = "/v1/config/default/rules";
  const etag = String((await control.call("GET", rules)).headers["etag"]);
  const headers = { authorization: `Bearer ${control.token}`, "if-match": etag };
  const first = await control.call("PUT", rules, { review: "required" }, headers);
  expect(first.status).toBe(200);
  expect(first.headers["etag"]).not.toBe(etag);
  expect((await control.call("PUT", rules, { review: "optional" }, headers)).json["code"]).toBe(
    "CONFIG_VERSION_CONFLICT",
  );
  expect((await control.call("GET", rules)).json).toEqual({ review: "required" });
});
