/** The guide's examples are what is run here, against a real process. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { eventually, projectRoot, startPosthouse, tempFolder, withControl } from "#test/kit";

const run = promisify(execFile);
const guide = () => readFile(join(projectRoot, "docs/guides/locks.md"), "utf8");

/** Whatever the session, the revision and the time. */
function plain(text: string): string {
  return text
    .trim()
    .replaceAll(/"(session|since|at)":"[^"]*"/g, '"$1":"…"')
    .replaceAll(/"(token|revision)":\d+/g, '"$1":42');
}

test("curl answers as the guide says", async () => {
  await using data = await tempFolder();
  const args = ["--store", "memory", "--roles", "registry", "config-server", "--dns", "off"];
  await using posthouse = await startPosthouse({ data: data.path, args });
  const block = /<!-- run -->\n```\n([\s\S]*?)```/.exec(await guide())?.[1] ?? "";
  const examples = block.split(/^\$ /m).slice(1);
  expect(examples.length).toBeGreaterThan(5);
  const mark = "--- next ---";
  const script = examples.map((example) => `${example.split("\n", 1)[0]}\necho; echo '${mark}'`).join("\n");
  const { stdout } = await run("sh", ["-c", script], {
    env: {
      ...process.env,
      API: posthouse.api,
      AUTH: `authorization: Bearer ${posthouse.token}`,
      JSON: "content-type: application/json",
    },
  });
  const answers = stdout.split(mark).slice(0, -1);
  expect(answers.map(plain)).toEqual(examples.map((example) => plain(example.split("\n").slice(1).join("\n"))));
});

test("the program of the guide leads until its lock is broken, and lets go", async () => {
  await using control = await withControl();
  const source = /```ts\n([\s\S]*?)```/.exec(await guide())?.[1] ?? "";
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...args: unknown[]) => Promise<void>;
  const program = new AsyncFunction("client", "lead", stripTypeScriptTypes(source));
  const led: { until: AbortSignal; token: number }[] = [];
  const ref = { namespace: "default", name: "orders/leader" };
  const done = program(control.client, async (lead: { until: AbortSignal; token: number }) => {
    led.push(lead);
    await eventually("the lead is lost", () => lead.until.aborted);
  });
  const holder = await eventually("it leads", async () => (await control.client.locks.get(ref)).holder);
  expect(holder.value).toBe("10.0.0.1:80");
  await control.client.locks.break(ref, { reason: "enough" });
  await done;
  expect(led.map(({ token }) => token)).toEqual([holder.token]);
});
