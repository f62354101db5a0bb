/**
 * The guide to deployment: its commands for posthouse are run. In those that need Docker or a running systemd, every name, option and
 * setting exists.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { followGuide, guideBlocks, projectRoot, startPosthouse, startProgram, tempFolder } from "#test/kit";

const run = promisify(execFile);
const guide = readFileSync(join(projectRoot, "docs/guides/deployment.md"), "utf8");
const blocks = guideBlocks(guide);
const commandsOf = (marker: string) =>
  blocks.filter((block) => block.marker === marker).flatMap(({ text }) => text.trim().split("\n"));
const units = readdirSync(join(projectRoot, "deploy/systemd")).map((name) => name.replace(".service", ""));
const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found]) => found as string);

test("the commands for posthouse run as the guide says", async () => {
  await using data = await tempFolder();
  const args = ["--roles", "registry", "config-server", "--dns", "off", "--store", "memory"];
  await using posthouse = await startPosthouse({ data: data.path, args });
  expect(await followGuide("deployment.md", { posthouse, data: data.path })).toBe(1);
});

test("the settings file of the guide can be loaded", () => {
  const text = blocks.find(({ language }) => language === "yaml")?.text ?? "";
  const { sources } = loadSettings({ file: { path: "posthouse.yaml", text }, environment: {}, flags: {} });
  expect(Object.values(sources).filter((source) => source === "file")).toHaveLength(3);
});

test("the files and units that the guide names exist, and every unit is named", () => {
  const files = matches(guide, /\]\(\.\.\/\.\.\/(deploy[^)]*)\)/g);
  expect(files.length).toBeGreaterThan(4);
  expect(files.filter((path) => !existsSync(join(projectRoot, path)))).toEqual([]);
  const rows = matches(guide, /^\| `(posthouse[\w-]*)` \| `\/etc\/posthouse\//gm);
  expect(rows.toSorted()).toEqual(units.toSorted());
  const started = commandsOf("needs systemd").flatMap((line) => matches(line, /systemctl .*?(posthouse[\w-]*)$/g));
  expect([...new Set(started)].toSorted()).toEqual(units.toSorted());
});

test("the transient unit of the guide is valid, and its command issues a token", async () => {
  const line = commandsOf("needs systemd").find((command) => command.includes("systemd-run")) ?? "";
  const properties = matches(line, / -p (\S+)/g);
  await using temp = await tempFolder();
  const file = join(temp.path, "token.service");
  await writeFile(file, ["[Service]", "Type=oneshot", "ExecStart=/bin/true", ...properties, ""].join("\n"));
  const { stdout, stderr } = await run("systemd-analyze", ["verify", file]);
  expect(stdout + stderr).toBe("");
  const unit = readFileSync(join(projectRoot, "deploy/systemd/posthouse.service"), "utf8");
  for (const property of properties) expect(unit).toContain(`\n${property}\n`);
  const args = (/ posthouse (operator-token .*)$/.exec(line)?.[1] ?? "").split(" ");
  const here = args.map((word) => word.replace("/var/lib/posthouse", join(temp.path, "data")));
  await using program = startProgram("bin/posthouse", here);
  expect((await program.exited).code).toBe(0);
  expect(program.output()).toMatch(/^ph_\S+\n$/);
});

test("the commands for Docker use the compose file, its services and profiles, and settings that exist", () => {
  const compose = readFileSync(join(projectRoot, "deploy/compose.yaml"), "utf8");
  const lines = commandsOf("needs docker");
  expect(lines.filter((line) => line.startsWith("docker compose -f deploy/compose.yaml ")).length).toBeGreaterThan(3);
  for (const line of lines) {
    for (const profile of matches(line, /--profile (\S+)/g)) expect(compose).toContain(`profiles: [${profile}]`);
    const pairs = matches(line, / -e (\w+=\S+)/g).map((pair) => pair.split("=") as [string, string]);
    const { values } = loadSettings({ environment: Object.fromEntries(pairs), flags: {} });
    const health = pairs.find(([name]) => name === "HEALTH_URL")?.[1];
    if (health !== undefined) expect(health).toBe(`http://127.0.0.1:${values.operationsPort}/readyz`);
  }
  expect(compose).toContain("127.0.0.1:9503:9503");
  // docker-compose names a container after its project and its service.
  expect(compose).toMatch(/^name: posthouse$[^]*^services:\n {2}posthouse:$/m);
  expect(guide).toContain(" posthouse-posthouse-1 ");
});
