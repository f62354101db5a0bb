/** The guide's examples are what is run here: `dig` against a real process, every type of record. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { call, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

/** Columns by one space, in any order of lines, and whatever the serial is. */
function plain(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith(";"))
    .map((line) =>
      line
        .trim()
        .replaceAll(/\s+/g, " ")
        .replace(/(hostmaster\.posthouse\.) \d+/, "$1 SERIAL"),
    )
    .sort();
}

test("dig answers as the guide says, for every type of record", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--store", "memory"] });
  const { api, token, dns } = posthouse;
  const guide = await readFile(join(projectRoot, "docs/guides/dns.md"), "utf8");
  const registrations = [...guide.matchAll(/^curl -X PUT 127\.0\.0\.1:8500(\S+) .* -d '(.*)'$/gm)];
  expect(registrations).toHaveLength(2);
  for (const [, path = "", body = ""] of registrations) {
    const done = await call(`${api}${path}`, { method: "PUT", token, body: JSON.parse(body) as unknown });
    expect(done.status).toBe(201);
  }
  const block = /<!-- dig -->\n```\n([\s\S]*?)```/.exec(guide)?.[1] ?? "";
  const examples = block.split(/^\$ dig /m).slice(1);
  expect(examples.length).toBeGreaterThan(12);
  const seen = new Set<string>();
  for (const example of examples) {
    const [command = "", ...lines] = example.split("\n");
    const args = command.replace("-p 8600", `-p ${dns.split(":")[1]}`).split(" ");
    const { stdout } = await run("dig", args);
    expect([command, ...plain(stdout)]).toEqual([command, ...plain(lines.join("\n"))]);
    for (const [, type = ""] of stdout.matchAll(/\sIN\s+([A-Z]+)\s/g)) seen.add(type);
  }
  expect([...seen].sort()).toEqual(["A", "AAAA", "HINFO", "NS", "PTR", "SOA", "SRV", "TXT"]);
  const { stdout } = await run("dig", [
    "@127.0.0.1",
    "-p",
    dns.split(":")[1] as string,
    "+tcp",
    "orders.service.posthouse",
  ]);
  expect(stdout).toMatch(/status: NOERROR[\s\S]*flags: qr aa rd; [\s\S]*10\.0\.0\.1/);
  const { text } = await call(`${api}/metrics`);
  expect(text).toMatch(/posthouse_dns_queries_total\{type="SRV",rcode="NOERROR"\} 1/);
});
