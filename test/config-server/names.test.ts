/** Keys that every object inherits a member for are keys like any other, at each door. */
import { expect, test } from "vitest";
import { checkSyntaxOf } from "../../config-server/releases/check-thread.ts";
import { readTree } from "../../config-server/core/tree.ts";
import { formatOf, type Items } from "#config-server/api";
import { ManualClock, testHost, withControl } from "#test/kit";
import { writeZip } from "../../config-server/transfer/zip.ts";

const INHERITED = ["constructor", "toString", "valueOf", "hasOwnProperty", "isPrototypeOf"];
const SET = "/v1/config/default/orders/default";

test.each([...INHERITED, "__proto__"])("a file's ending %s says nothing of its format", (name) => {
  expect(formatOf(`a.${name}`)).toBe("text");
});

test("a key of such a name is absent until it is set; then it is read and deleted", async () => {
  await using control = await withControl();
  const auth = { authorization: `Bearer ${control.token}` };
  const released = await control.call("POST", `${SET}/releases`, { items: { a: { format: "text", value: "1" } } });
  expect(released.status).toBe(201);
  for (const key of ["constructor", "hasOwnProperty", "a.constructor", "a.__proto__"]) {
    expect((await control.call("GET", `${SET}/keys/${key}`)).json["code"], key).toBe("CONFIG_KEY_NOT_FOUND");
    expect((await control.call("DELETE", `${SET}/keys/${key}`)).json["code"], key).toBe("CONFIG_KEY_NOT_FOUND");
    const headers = { ...auth, "content-type": "text/plain" };
    const put = await control.app.inject({ method: "PUT", url: `${SET}/keys/${key}`, headers, payload: "x" });
    expect(put.statusCode, key).toBe(201);
    const read = await control.app.inject({ method: "GET", url: `${SET}/keys/${key}`, headers: auth });
    expect(read.body, key).toBe("x");
    expect((await control.call("DELETE", `${SET}/keys/${key}`)).status, key).toBe(201);
  }
});

test("an import's dry run and a source's tree take such files as text", async () => {
  const files = [...INHERITED, "__proto__"].map((name) => ({
    path: `orders/default/a.${name}`,
    bytes: Buffer.from("x"),
  }));
  const { sets, problems } = readTree(files, { namespace: "default" });
  expect(problems).toEqual([]);
  expect(Object.values(sets[0]?.items ?? {}).map(({ format }) => format)).toEqual(files.map(() => "text"));

  await using control = await withControl();
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeZip(files)) chunks.push(chunk);
  const answer = await control.app.inject({
    method: "POST",
    url: "/v1/config-import?namespace=default&mode=dry-run",
    headers: { authorization: `Bearer ${control.token}`, "content-type": "application/zip" },
    payload: Buffer.concat(chunks),
  });
  expect(answer.statusCode).toBe(200);
});

test("a check that cannot be sent to its thread fails at once, and leaves no timer behind", async () => {
  const clock = new ManualClock();
  const host = testHost({ clock });
  const unsendable = { format: "yaml", value: "x".repeat(100_000), extra: () => {} };
  await expect(checkSyntaxOf(host, { a: unsendable } as unknown as Items, "editor")).rejects.toThrow(
    /could not be cloned/,
  );
  await clock.advance(60_000);
  // The next check has a thread of its own.
  expect(await checkSyntaxOf(host, { a: { format: "yaml", value: `a: ${"x".repeat(100_000)}` } }, "editor")).toEqual(
    [],
  );
});

test("text that is not Unicode is refused at every door: values, reasons, names, and bytes that are not UTF-8", async () => {
  await using control = await withControl();
  const post = (url: string, payload: string | Buffer) =>
    control.app.inject({
      method: "POST",
      url,
      headers: { authorization: `Bearer ${control.token}`, "content-type": "application/json" },
      payload,
    });
  const value = (text: string) => `{"items":{"a":{"format":"text","value":"${text}"}}}`;
  for (const [url, body] of [
    [`${SET}/releases`, value("\\ud800")],
    [`${SET}/releases`, value("x\\udc00\\ud800")],
    [`${SET}/releases`, '{"items":{},"reason":"\\ud83d"}'],
    ["/v1/tokens", '{"name":"\\udfff","policies":["viewer"]}'],
    [
      `${SET}/releases`,
      Buffer.concat([Buffer.from('{"items":{},"reason":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    ],
  ] as const) {
    const answer = await post(url, body);
    expect([answer.statusCode, answer.json<{ code: string }>().code], String(body)).toEqual([400, "HTTP_MALFORMED"]);
  }
  // The characters that a format's escapes represent, too.
  const escaped = await post(
    `${SET}/releases`,
    JSON.stringify({ items: { a: { format: "json", value: '"\\ud800"' } } }),
  );
  expect(escaped.statusCode).toBe(422);
  expect((await post(`${SET}/releases`, value("\\ud83d\\ude00"))).statusCode).toBe(201);
});
