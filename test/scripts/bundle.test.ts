/** A checkout runs its bundle as long as it is what the sources are, and its sources otherwise. */
import { spawnSync } from "node:child_process";
import { cp, mkdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bundleProgram } from "../../scripts/bundle.ts";
import { projectRoot, tempFolder } from "#test/kit";

test("the launcher runs a bundle of the sources as they are, and the sources once one has changed", async () => {
  await using folder = await tempFolder();
  const at = (...parts: string[]) => join(folder.path, ...parts);
  await mkdir(at("cli"));
  const program = at("node_modules", ".cache", "posthouse", "program");
  await mkdir(program, { recursive: true });
  await cp(join(projectRoot, "bin"), at("bin"), { recursive: true });
  await writeFile(at("package.json"), JSON.stringify({ type: "module", engines: { node: ">=24.17" } }));
  await writeFile(at("cli", "main.ts"), 'console.log("source" satisfies string);');
  await writeFile(join(program, "main.js"), 'console.log("bundle");');
  const known = async () => {
    const { size, mtimeMs } = await stat(at("cli", "main.ts"));
    await writeFile(join(program, "sources.json"), JSON.stringify([["cli/main.ts", size, mtimeMs]]));
  };
  const run = () => spawnSync(process.execPath, [at("bin", "posthouse")], { encoding: "utf8" }).stdout.trim();

  expect(run()).toBe("source");
  await known();
  expect(run()).toBe("bundle");
  const later = new Date(Date.now() + 5_000);
  await utimes(at("cli", "main.ts"), later, later);
  expect(run()).toBe("source");
  await known();
  expect(run()).toBe("bundle");
  await writeFile(join(program, "sources.json"), '[["cli/main.ts", 1');
  expect(run()).toBe("source");
});

test("a bundle holds every source that the program can load, and runs", async () => {
  await using folder = await tempFolder();
  // Where the packages are found that are not bundled.
  const target = join(projectRoot, "node_modules", ".cache", "posthouse", `test-${process.pid}`);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(target, { recursive: true, force: true }));
  const sources = await bundleProgram(target);
  const paths = sources.map(({ path }) => path);
  for (const path of ["cli/main.ts", "server/roles.ts", "config-server/releases/check-worker.ts", "demo/service.ts"])
    expect(paths).toContain(path);
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(target, "main.js"), ...args], { encoding: "utf8", cwd: folder.path });
  expect(run("version").stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(run("settings", "--nonsense").status).not.toBe(0);
});
