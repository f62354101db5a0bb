/** The Debian package: built, installed below a folder by dpkg, started from there, and removed. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildDebianPackage } from "../../scripts/debian-package.ts";
import { productionPackages } from "../../scripts/production-packages.ts";
import { builtProgram, call, eventually, projectRoot, startCommand, tempFolder, type TempFolder } from "#test/kit";

const run = promisify(execFile);
let temp: TempFolder;
/** The package. */
let file: string;
/** The folder that it is installed below. */
let root: string;
let manifest: { readonly version: string; readonly devDependencies: Record<string, string> };

/** Runs dpkg on the folder alone. Its scripts run outside of it, where DPKG_ROOT keeps them from changing this machine. */
const dpkg = (...args: string[]) =>
  run("dpkg", [
    `--root=${root}`,
    "--log=/dev/null",
    "--force-not-root",
    "--force-bad-path",
    "--force-script-chrootless",
    "--force-depends",
    "--force-unsafe-io",
    ...args,
  ]);

beforeAll(async () => {
  manifest = JSON.parse(await readFile(join(projectRoot, "package.json"), "utf8"));
  temp = await tempFolder();
  await using program = await builtProgram();
  file = buildDebianPackage({ dist: program.dist, target: temp.path, compression: "none" });
  root = join(temp.path, "root");
  await mkdir(join(root, "var/lib/dpkg/info"), { recursive: true });
  await mkdir(join(root, "var/lib/dpkg/updates"));
  await writeFile(join(root, "var/lib/dpkg/status"), "");
  await dpkg("--install", file);
});

afterAll(() => temp?.[Symbol.asyncDispose]());

test("the package states its name, version, settings files and the libraries of its Node", async () => {
  const field = async (name: string) => (await run("dpkg-deb", ["--field", file, name])).stdout.trim();
  expect(await field("Package")).toBe("posthouse");
  expect(await field("Version")).toBe(manifest.version);
  expect(await field("Architecture")).toBe((await run("dpkg", ["--print-architecture"])).stdout.trim());
  expect(await field("Depends")).toContain("libatomic1");
  const { stdout } = await dpkg("--status", "posthouse");
  expect(stdout).toContain("Status: install ok installed");
  for (const name of ["agent", "gateway", "posthouse"]) {
    expect(stdout).toContain(` /etc/posthouse/${name}.yaml `);
    // They may contain tokens.
    expect((await stat(join(root, `etc/posthouse/${name}.yaml`))).mode & 0o777).toBe(0o600);
  }
});

test("the installed program runs on the Node of the package, becomes ready with the installed settings, and stops", async () => {
  const program = join(root, "usr/bin/posthouse");
  expect((await run(program, ["version"])).stdout.trim()).toBe(manifest.version);
  const node = await run(join(root, "usr/lib/posthouse/node"), ["--version"]);
  expect(node.stdout.trim()).toBe(`v${manifest.devDependencies["node"]}`);
  const ports = ["port", "agent-port", "gateway-port", "gateway-tls-port", "dns-port"].flatMap((name) => [
    `--${name}`,
    "0",
  ]);
  await using posthouse = startCommand(program, ["up", ...ports], {
    cwd: "/",
    environment: {
      POSTHOUSE_SETTINGS: join(root, "etc/posthouse/posthouse.yaml"),
      POSTHOUSE_DATA: join(temp.path, "data"),
    },
  });
  const api = await eventually("posthouse is up", () => {
    if (posthouse.child.exitCode !== null) throw new Error(posthouse.errors());
    return /control API +(\S+)\n/.exec(posthouse.output())?.[1];
  });
  await eventually("posthouse is ready", async () => (await call(`${api}/readyz`)).status === 200);
  posthouse.kill("SIGTERM");
  expect(await posthouse.exited).toEqual({ code: 0, signal: null });
});

test("every package that the program needs is installed, and its license is named", async () => {
  const packages = productionPackages(projectRoot);
  expect(packages.length).toBeGreaterThan(100);
  const copyright = await readFile(join(root, "usr/share/doc/posthouse/copyright"), "utf8");
  const unnamed = packages.filter(
    ({ path, licenseFiles }) =>
      !copyright.includes(`\nFiles: usr/lib/posthouse/${path}/*\n`) ||
      licenseFiles.some((name) => !existsSync(join(root, "usr/lib/posthouse", path, name))),
  );
  expect(unnamed).toEqual([]);
  expect(packages.filter(({ license }) => license === "not stated")).toEqual([]);
  expect(packages.map(({ name }) => name)).not.toContain("vitest");
});

test("the license of Node in deploy/debian is that of the installed Node", async () => {
  const kept = await readFile(join(projectRoot, "deploy/debian/node.license"), "utf8");
  expect(kept).toMatch(/^Node\.js is licensed for use as follows/);
  // The package that npm unpacks Node from. A later `npm install` of another package removes it.
  const unpacked = join(projectRoot, `node_modules/node/node_modules/node-${process.platform}-${process.arch}/LICENSE`);
  if (existsSync(unpacked)) expect(kept).toBe(await readFile(unpacked, "utf8"));
});

test("the scripts of the package are valid, and do nothing where systemd does not run", async () => {
  for (const name of ["postinst", "prerm", "postrm", "posthouse"])
    await run("sh", ["-n", join(projectRoot, "deploy/debian", name)]);
  for (const name of ["postinst", "prerm", "postrm"])
    await run(join(projectRoot, "deploy/debian", name), ["remove"], { env: { DPKG_ROOT: root, PATH: "/nowhere" } });
});

test("a removal leaves the settings, and a purge removes them", async () => {
  await dpkg("--remove", "posthouse");
  expect(existsSync(join(root, "usr/lib/posthouse"))).toBe(false);
  expect(existsSync(join(root, "etc/posthouse/posthouse.yaml"))).toBe(true);
  await dpkg("--purge", "posthouse");
  expect(existsSync(join(root, "etc/posthouse"))).toBe(false);
});
