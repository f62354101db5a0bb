/** Help, completion, the launcher: what a person meets before anything else. */
import { execFile, spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { projectRoot, tempFolder } from "#test/kit";
import { type Column, tableText, widthOf } from "../../cli/table.ts";
import { VERBS } from "../../cli/verbs.ts";
import { run } from "./kit.ts";

const execute = promisify(execFile);
const launcher = join(projectRoot, "bin/posthouse");

test("help is grouped, has examples, and lists every verb that is not hidden", async () => {
  const { code, out } = await run(["--help"]);
  expect(code).toBe(0);
  for (const group of ["Run:", "Look:", "Change:", "Examples:"]) expect(out).toContain(group);
  for (const { path, hidden } of VERBS.filter(({ path }) => !path.includes(" "))) {
    expect(new RegExp(`^  ${path}\\b`, "m").test(out), path).toBe(hidden !== true);
  }
  expect((await run([])).out).toBe(out);
  expect((await run(["help"])).out).toBe(out);
});

test.each(VERBS.map(({ path }) => path))("posthouse help %s", async (path) => {
  const { code, out, err } = await run(["help", ...path.split(" ")]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toContain(`Usage: posthouse ${path}`);
});

test("--version, -V and version are one", async () => {
  const { version } = JSON.parse(await readFile(join(projectRoot, "package.json"), "utf8")) as { version: string };
  for (const word of ["--version", "-V", "version"]) {
    expect(await run([word])).toEqual({ code: 0, out: `${version}\n`, err: "" });
  }
});

test("bash completes verbs and options by the script", async () => {
  const { out: script } = await run(["completion", "bash"]);
  const complete = (line: string) => {
    const words = line.split(" ");
    const list = words.map((word) => `'${word}'`).join(" ");
    const code = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _posthouse; echo "\${COMPREPLY[@]}"`;
    return spawnSync("bash", ["-c", code], { encoding: "utf8" }).stdout.trim().split(" ");
  };
  expect(complete("posthouse serv")).toEqual(["services"]);
  expect(complete("posthouse config d")).toEqual(["delete", "diff", "detach", "drafts"]);
  expect(complete("posthouse config put orders --sec")).toEqual(["--secret"]);
  expect(complete("posthouse tokens ")).toContain("create");
});

test("zsh and fish have scripts, too", async () => {
  expect((await run(["completion", "zsh"])).out).toMatch(/^#compdef posthouse\n/);
  expect((await run(["completion", "fish"])).out).toContain("-a services");
});

test("the launcher runs the program from a checkout", async () => {
  const { stdout } = await execute(process.execPath, [launcher, "--version"]);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("on a Node that is too old the launcher says which one is needed, in one line", async () => {
  await using folder = await tempFolder();
  const preload = join(folder.path, "old.cjs");
  for (const found of ["12.22.12", "20.20.2", "24.16.9"]) {
    await writeFile(preload, `Object.defineProperty(process.versions, "node", { value: "${found}" });`);
    const done = spawnSync(process.execPath, ["--require", preload, launcher, "services"], { encoding: "utf8" });
    expect([done.status, done.stdout]).toEqual([1, ""]);
    expect(done.stderr).toMatch(new RegExp(`^posthouse: needs Node 24.17 or later, found ${found}\\. .+\\n$`));
  }
});

test("the launcher is JavaScript that Nodes of any age parse", async () => {
  const code = (await readFile(launcher, "utf8")).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  expect(code).not.toMatch(/=>|`|\?\.|\?\?|\b(const|let|class|async|await)\b|\.\.\.|^\s*(import|export) /m);
});

test("a table is aligned by what a terminal shows, and a cell cannot break it", () => {
  expect(widthOf("订单")).toBe(4);
  interface Row {
    readonly name: string;
    readonly text: string;
  }
  const columns: Column<Row>[] = [
    ["NAME", ({ name }) => name],
    ["TEXT", ({ text }) => text],
  ];
  const rows: Row[] = [
    { name: "订单", text: "a\nb\u001B[2J" },
    { name: "orders", text: "" },
  ];
  const text = tableText(columns, rows);
  expect(text).toBe("NAME     TEXT\n订单     a b [2J\norders   -\n");
});
