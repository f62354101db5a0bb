/** Values made to hurt: they are refused with a reason, and meanwhile the server answers others. */
import { expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import { eventually, withControl } from "#test/kit";
import type { Item } from "#config-server/api";

const SET = { namespace: "default", app: "orders", profile: "default" };

test.each<[string, Item["format"], string]>([
  ["a million brackets of YAML", "yaml", "[".repeat(1_000_000)],
  ["two hundred thousand nested maps", "yaml", "{a: ".repeat(200_000)],
  ["maps indented a thousand deep", "yaml", Array.from({ length: 1400 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
  ["a hundred thousand times the same key", "yaml", "a: 1\n".repeat(100_000)],
  ["a million brackets of JSON", "json", "[".repeat(1_000_000)],
  ["a million brackets of TOML", "toml", `a = ${"[".repeat(1_000_000)}`],
  ["an anchor that contains itself", "yaml", "a: &a [*a, *a]\nb: *a\n"],
  [
    "more aliases than any config needs",
    "yaml",
    `a: &a x\n${Array.from({ length: 200 }, (_, i) => `k${i}: *a`).join("\n")}`,
  ],
])("%s is refused as not valid", async (_what, format, value) => {
  await using control = await withControl();
  const failed = control.client.config.publish(SET, { items: { a: { format, value } } });
  await expect(failed).rejects.toMatchObject({ code: "CONFIG_VALUE_INVALID", extra: { problems: [{ key: "a" }] } });
});

test("while a megabyte of YAML is checked, the server goes on answering", async () => {
  await using control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  const value = "- a\n".repeat(260_000);
  const published = control.client.config.publish(SET, { items: { "a.yaml": { format: "yaml", value } } });
  const end = published.then(() => "done");
  let answers = 0;
  while ((await Promise.race([end, fetch(`${url}/livez`)])) !== "done") answers++;
  // Had the check been in between, there would be a handful.
  expect(answers).toBeGreaterThan(20);
});

test("a body of a gigabyte is cut off at the limit, and what is live stays", async () => {
  await using control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  await control.client.config.publish(SET, { items: { a: { format: "text", value: "1" } } });
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 1024 * 1024;
      if (sent > 1024 ** 3) controller.close();
      else controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20));
    },
  });
  const answer = await fetch(`${url}/v1/config/default/orders/default/releases`, {
    method: "POST",
    headers: { authorization: `Bearer ${control.token}`, "content-type": "application/json" },
    body,
    duplex: "half",
  }).then(
    ({ status }) => status,
    () => "cut",
  );
  expect([413, "cut"]).toContain(answer);
  expect(sent).toBeLessThan(200 * 1024 * 1024);
  await using transport = fetchTransport({ urls: [url] });
  const client = new Client(control.host, { transport, token: control.token });
  await eventually("it still answers", async () => (await client.config.effective(SET)).items["a"]?.value === "1");
});
