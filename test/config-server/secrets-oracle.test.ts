/** A caller without the right to reveal gets the same answers for any secret: checks are not an oracle. */
import { expect, test } from "vitest";
import { writeZip } from "../../config-server/transfer/zip.ts";
import { type TestControl, withControl } from "#test/kit";
import { heldKeys, key, MASK, PATH, publish, secret, tokensOf } from "./secrets-kit.ts";

/** As different as two secrets can be: one is a short word, the other is JSON with a member. */
const SECRETS = ["hunter2", `{"user": "x", "list": [1, 2, 3], "long": "${"y".repeat(70_000)}"}`];

const schema = (pattern: string) => JSON.stringify({ pattern });
type Draft = Record<string, object>;

/** Attempts of an editor to learn a secret, draft by draft. */
const ATTEMPTS: Record<string, Draft> = {
  "a pattern on the secret itself": { "password.schema.json": { value: schema("^h") } },
  "an enum of guesses": { "password.schema.json": { value: '{"enum":["hunter2"]}' } },
  "a length": { "password.schema.json": { value: '{"maxLength":7}' } },
  "a pattern on the whole release": {
    "schema.json": { value: '{"properties":{"password":{"pattern":"^h"}}}' },
  },
  "a condition on the whole release": {
    "schema.json": { value: '{"if":{"properties":{"password":{"pattern":"^h"}}},"then":{"required":["absent"]}}' },
  },
  "a schema of a value that it is filled into": {
    "app.yaml": { value: "p: ${password}\n", expand: true },
    "app.yaml.schema.json": { value: '{"properties":{"p":{"pattern":"^h"}}}' },
  },
  "another format for it": { password: { value: MASK, format: "json" } },
  "placeholders in it": { password: { value: MASK, expand: true } },
  "a path into it": { "app.txt": { value: "${doc.json#user}", expand: true } },
  "a path into it, with a default": {
    "app.yaml": { value: "p: ${doc.json#list|none}\n", expand: true },
    "app.yaml.schema.json": { value: '{"properties":{"p":{"type":"array"}}}' },
  },
  "its length, filled in": { "app.txt": { value: "${password}", expand: true } },
  "a pattern in an app of another profile": { "prod.yaml.schema.json": { value: schema("^h") } },
};

async function answersOf(control: TestControl, attempts: Record<string, Draft>): Promise<unknown[]> {
  const { editor } = await tokensOf(control);
  const answers: unknown[] = [];
  for (const [what, drafts] of Object.entries(attempts)) {
    for (const [name, item] of Object.entries(drafts)) {
      const saved = await control.call("PUT", `${PATH}/drafts/${name}`, item, editor);
      answers.push([what, name, saved.status, saved.json["code"]]);
    }
    const { status, json } = await control.call("POST", `${PATH}/proposals`, {}, editor);
    answers.push([what, status, json["code"], json["detail"], json["problems"]]);
    if (status === 201) await control.call("POST", `${PATH}/proposals/${String(json["id"])}/withdraw`, {}, editor);
    for (const name of Object.keys(drafts)) await control.call("DELETE", `${PATH}/drafts/${name}`, undefined, editor);

    const files = Object.entries(drafts).map(([name, item]) => ({
      path: `orders/default/${name}`,
      bytes: Buffer.from((item as { value: string }).value),
    }));
    const chunks: Uint8Array[] = [];
    for await (const chunk of writeZip(files)) chunks.push(chunk);
    const imported = await control.app.inject({
      method: "POST",
      url: "/v1/config-import?namespace=default&mode=dry-run&keep=true",
      headers: { ...editor, "content-type": "application/zip" },
      payload: Buffer.concat(chunks),
    });
    answers.push([what, "import", imported.statusCode, imported.body.replaceAll(/"version":\d+/g, "")]);
  }
  return answers;
}

test("no answer to a caller without the right to reveal depends on a secret's value", async () => {
  const worlds = await Promise.all(
    SECRETS.map(async (value) => {
      await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
      await publish(control, { password: secret(value), "doc.json": secret(JSON.stringify(value), "json") });
      return await answersOf(control, ATTEMPTS);
    }),
  );
  expect(worlds[0]).toEqual(worlds[1]);
  // The attempts got as far as a check: proposals were opened.
  expect((worlds[0] as unknown[][]).filter((answer) => answer[1] === 201).length).toBeGreaterThan(5);
});

test("a caller that may reveal has secrets checked, and an editor's own public values are checked as usual", async () => {
  await using control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  const { editor } = await tokensOf(control);
  await publish(control, { password: secret("hunter2"), port: { format: "text", value: "80" } });
  const items = {
    password: secret(MASK),
    "password.schema.json": { format: "json", value: schema("^x") },
  };
  const refused = await control.call("POST", `${PATH}/releases`, { items });
  expect(refused).toMatchObject({ status: 422, json: { code: "CONFIG_VALUE_INVALID" } });
  await control.call("PUT", `${PATH}/drafts/port.schema.json`, { value: schema("^9") }, editor);
  const proposed = await control.call("POST", `${PATH}/proposals`, {}, editor);
  expect(proposed).toMatchObject({ status: 422, json: { code: "CONFIG_VALUE_INVALID" } });
});
