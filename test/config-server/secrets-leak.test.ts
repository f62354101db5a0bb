/** A secret is planted, and everything that the API, the log, the metrics and the disk say is searched for it. */
import { readdir, readFile } from "node:fs/promises";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore, type Store } from "#store";
import { eventually, tempFolder, testHost, withControl } from "#test/kit";
import { CANARY, heldKeys, key, MASK, PATH, publish, secret, tokensOf } from "./secrets-kit.ts";

const KEYS = () => heldKeys(key("k1", 1));
const SCHEMA = {
  additionalProperties: false,
  properties: { pool: { type: "integer" } },
  propertyNames: { maxLength: 9 },
};

test("nothing that a reader, an editor or an operator is answered holds a secret, in the clear or encrypted", async () => {
  const host = testHost();
  await using control = await withControl({ host, secretKeys: KEYS() });
  const tokens = await tokensOf(control);
  await publish(control, { password: secret("before"), host: { format: "text", value: "db" } });
  await publish(control, { password: secret(CANARY), host: { format: "text", value: "db" } });
  await publish(
    control,
    { url: { format: "text", value: "x://${orders:password}", expand: true } },
    "/v1/config/default/web/default",
  );
  await publish(control, { password: secret(CANARY) }, "/v1/config/prod/orders/default");
  await control.call("PUT", `${PATH}/drafts/password`, { value: `${CANARY}-drafted` }, tokens.editor);
  const proposal = await control.call("POST", `${PATH}/proposals`, { reason: "x" }, tokens.editor);
  await control.call("PUT", `${PATH}/drafts/other`, { value: `${CANARY}-drafted`, secret: true }, tokens.editor);
  const id = String(proposal.json["id"]);
  const sealed = await sealedTexts(control.store);
  expect(sealed.length).toBeGreaterThan(3);

  const asked: [method: string, url: string, body?: object][] = [
    ...[
      "",
      "/releases",
      "/releases/1",
      "/releases/2",
      "/drafts",
      "/proposals",
      `/proposals/${id}`,
      "/acknowledgements",
    ].map((path): [string, string] => ["GET", `${PATH}${path}`]),
    ["GET", `${PATH}/keys/password`],
    ["GET", "/v1/config/default/web/default/keys/url"],
    ["GET", "/v1/config/default/web/default"],
    ["GET", `${PATH}/diff?from=1&to=2`],
    ["GET", `${PATH}/diff?from=1&to=drafts`],
    ["GET", `${PATH}/diff?toNamespace=prod`],
    ["GET", "/v1/config"],
    ["GET", `/v1/config-search?text=${CANARY.slice(0, 6)}`],
    ["GET", `/v1/config-search?text=password`],
    ["GET", "/v1/config-secrets"],
    ["GET", "/v1/config-audit"],
    ["GET", "/metrics"],
    ["GET", "/readyz"],
    ["POST", `${PATH}/proposals/${id}/reviews`, { verdict: "approve" }],
    ["POST", `${PATH}/releases`, { items: { password: secret(CANARY), host: "no item" } }],
    ["POST", `${PATH}/promote`, { toNamespace: "prod" }],
    ["POST", `${PATH}/rollback`, { toVersion: 2 }],
    ["POST", `${PATH}/proposals/${id}/publish`, {}],
    ["POST", "/v1/config-secrets/rewrap"],
  ];
  const found: string[] = [];
  for (const role of ["viewer", "editor", "operator"] as const) {
    for (const [method, url, body] of asked) {
      const { payload, headers, statusCode } = await control.app.inject({
        method: method as "GET",
        url,
        headers: tokens[role],
        ...(body ? { payload: body } : {}),
      });
      if (statusCode >= 500) found.push(`${role} ${method} ${url}: ${statusCode}`);
      const said = `${payload}${JSON.stringify(headers)}`;
      if ([CANARY, ...sealed].some((one) => said.includes(one))) found.push(`${role} ${method} ${url}`);
    }
  }
  expect(found).toEqual([]);
  const log = JSON.stringify(host.log.lines);
  expect(log).toContain("config released");
  expect([CANARY, ...sealed].filter((one) => log.includes(one))).toEqual([]);
});

test.each([
  ["JSON that ends too soon", { "app.json": secret(`{"a": ${CANARY}`, "json") }],
  ["YAML that is none", { "app.yaml": secret(`a: [${CANARY}\n${CANARY}: {`, "yaml") }],
  ["a tag that is not known", { "app.yaml": secret(`a: !!int ${CANARY}\nb: *${CANARY}`, "yaml") }],
  ["TOML that is none", { "app.toml": secret(`${CANARY} ${CANARY}`, "toml") }],
  ["properties with a bad escape", { "app.properties": secret(`a=\\u${CANARY}`, "properties") }],
  ["no base64", { "app.bin": secret(CANARY, "binary") }],
  ["a bad placeholder", { a: { ...secret(`\${${CANARY} ${CANARY}}`), expand: true } }],
  ["a placeholder without an end", { a: { ...secret(`\${${CANARY}`), expand: true } }],
  [
    "a bad placeholder in what it names",
    { a: { ...secret(`\${b c ${CANARY}}`), expand: true }, b: { format: "text", value: "${a}", expand: true } },
  ],
  [
    "its schema",
    {
      "app.yaml": secret(`pool: ${CANARY}\n${CANARY}: 1\n`, "yaml"),
      "app.yaml.schema.json": { format: "json", value: JSON.stringify(SCHEMA) },
    },
  ],
  [
    "the schema of the whole",
    {
      "app.yaml": secret(`pool: ${CANARY}\n${CANARY}: 1\n`, "yaml"),
      "schema.json": { format: "json", value: JSON.stringify({ properties: { "app.yaml": SCHEMA } }) },
    },
  ],
])("a secret that is refused for %s is not quoted", async (_what, items) => {
  const host = testHost();
  await using control = await withControl({ host, secretKeys: KEYS() });
  const answer = await control.call("POST", `${PATH}/releases`, { items });
  expect([answer.status, answer.json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
  expect(JSON.stringify([answer.json, host.log.lines])).not.toContain(CANARY);
  expect(JSON.stringify(answer.json)).toContain("secret");
});

test("a body that is not JSON is not quoted either", async () => {
  const host = testHost();
  await using control = await withControl({ host, secretKeys: KEYS() });
  await control.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = control.app.server.address() as AddressInfo;
  for (const body of [`{"items": ${CANARY}`, CANARY, `{"items": {"a": "${CANARY}" `]) {
    const head = `POST ${PATH}/releases HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${control.token}\r\n`;
    const socket = connect(port, "127.0.0.1");
    let said = "";
    socket.on("data", (chunk: Buffer) => (said += chunk.toString()));
    socket.write(
      `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
    await eventually("it is answered", () => said.includes("HTTP_MALFORMED"));
    socket.destroy();
    expect(said).not.toContain(CANARY);
  }
  expect(JSON.stringify(host.log.lines)).not.toContain(CANARY);
});

test("the files of the store contain no secret in the clear, and do contain other values", async () => {
  await using folder = await tempFolder();
  const host = testHost();
  {
    await using store = await openStore(host, { engine: "lmdb", folder: folder.path });
    await using control = await withControl({ host, store, secretKeys: KEYS() });
    const { editor } = await tokensOf(control);
    const large = `${CANARY}${"x".repeat(40_000)}`;
    await publish(control, {
      password: secret(CANARY),
      large: secret(large),
      host: { format: "text", value: "plain-canary" },
    });
    await control.call("PUT", `${PATH}/drafts/password`, { value: CANARY }, editor);
    await control.call("POST", `${PATH}/proposals`, {}, editor);
    await control.call("POST", `${PATH}/reveal`, { key: "password", reason: "x" });
    expect((await control.call("GET", `${PATH}/releases/1`)).json["items"]).toMatchObject({ password: secret(MASK) });
  }
  const names = await readdir(folder.path, { recursive: true, withFileTypes: true });
  const bytes = await Promise.all(
    names.filter((one) => one.isFile()).map((one) => readFile(join(one.parentPath, one.name), "latin1")),
  );
  const disk = bytes.join("");
  expect([disk.includes("plain-canary"), disk.includes(CANARY)]).toEqual([true, false]);
});

/** All that is encrypted in a store. */
async function sealedTexts(store: Store): Promise<string[]> {
  const { entries } = await store.range({ prefix: "/config/" });
  const text = entries.map(({ value }) => Buffer.from(value).toString("utf8")).join("\n");
  return [...text.matchAll(/"(?:sealed|wrapped)":"([^"]+)"/g)].map((match) => (match[1] as string).slice(-20));
}
