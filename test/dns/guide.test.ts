/** The guide to DNS as its reader uses it: `dig` against a real process, every type of record. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { call, followGuide, projectRoot, startPosthouse, tempFolder } from "#test/kit";

const run = promisify(execFile);

test("dig answers as the guide says, for every type of record", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  expect(await followGuide("dns.md", { posthouse, data: data.path })).toBe(7);
  const guide = await readFile(join(projectRoot, "docs/guides/dns.md"), "utf8");
  const shown = new Set([...guide.matchAll(/^\S+\. 1 IN ([A-Z]+) /gm)].map(([, type]) => type));
  expect(shown).toEqual(new Set(["A", "AAAA", "HINFO", "NS", "PTR", "SOA", "SRV", "TXT"]));
  const port = posthouse.dns.split(":")[1] as string;
  const { stdout } = await run("dig", ["@127.0.0.1", "-p", port, "+tcp", "orders.service.posthouse"]);
  expect(stdout).toMatch(/status: NOERROR[\s\S]*flags: qr aa rd; [\s\S]*10\.0\.0\.1/);
  const { text } = await call(`${posthouse.api}/metrics`);
  expect(text).toMatch(/posthouse_dns_queries_total\{type="SRV",rcode="NOERROR"\} [1-9]/);
});
