/** The systemd units: accepted by systemd's own checks, hardened alike, and with settings that exist. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { projectRoot, tempFolder } from "#test/kit";

const run = promisify(execFile);
const folder = join(projectRoot, "deploy/systemd");
const units = readdirSync(folder);
const read = (unit: string) => readFileSync(join(folder, unit), "utf8");
/** Of ten; systemd calls up to 2 OK. */
const EXPOSURE_MAX = 1.8;

/** The assignments of a unit, in order. */
const linesOf = (text: string) => text.split("\n").filter((line) => /^\w+=/.test(line));

/** Lets systemd's own checks read a unit, without the program, which is not installed here. */
async function analyze(unit: string, text: string, ...args: string[]): Promise<string> {
  await using temp = await tempFolder();
  const file = join(temp.path, unit);
  await writeFile(file, text.replace("/usr/bin/posthouse", "/bin/true"));
  const { stdout, stderr } = await run("systemd-analyze", [...args, file]);
  return stdout + stderr;
}

test("there is a unit for all roles, for an agent and for a gateway", () => {
  expect(units.toSorted()).toEqual(["posthouse-agent.service", "posthouse-gateway.service", "posthouse.service"]);
});

test.each(units)("systemd accepts %s, also with the lines that it offers in comments", async (unit) => {
  expect(await analyze(unit, read(unit), "verify")).toBe("");
  const offered = read(unit).replaceAll(/^# {3}(?=\w+=)/gm, "");
  expect(linesOf(offered).length).toBeGreaterThan(linesOf(read(unit)).length);
  expect(await analyze(unit, offered, "verify")).toBe("");
});

test("systemd's check sees a wrong line", async () => {
  const wrong = read("posthouse.service").replace("ProtectSystem=strict", "ProtectSystem=strikt");
  expect(await analyze("posthouse.service", wrong, "verify")).toContain("strikt");
});

test.each(units)("what %s exposes is below the limit", async (unit) => {
  const limit = ["security", "--offline=yes", "--no-pager", `--threshold=${EXPOSURE_MAX * 10}`];
  expect(await analyze(unit, read(unit), ...limit)).toContain("Overall exposure level");
  const open = read(unit).replaceAll(/^(SystemCallFilter|CapabilityBoundingSet|NoNewPrivileges).*\n/gm, "");
  await expect(analyze(unit, open, ...limit)).rejects.toThrow("systemd-analyze");
});

test("the units differ only in their names, settings and the gateway's ports below 1024", () => {
  const common = (unit: string) =>
    linesOf(read(unit)).filter(
      (line) =>
        !/^(Description|Environment|LoadCredential|User|StateDirectory|PrivateUsers)=/.test(line) &&
        !/^(AmbientCapabilities|CapabilityBoundingSet)=/.test(line),
    );
  expect(common("posthouse.service")).toContain("NoNewPrivileges=yes");
  for (const unit of units) expect(common(unit), unit).toEqual(common("posthouse.service"));
  for (const unit of units)
    expect(linesOf(read(unit)).filter((line) => line.endsWith("=CAP_NET_BIND_SERVICE"))).toHaveLength(
      unit === "posthouse-gateway.service" ? 2 : 0,
    );
});

test.each(units)("%s sets settings that exist, keeps its data, and reads its credentials", (unit) => {
  const text = read(unit).replaceAll(/^# {3}(?=\w+=)/gm, "");
  const pairs = linesOf(text)
    .filter((line) => line.startsWith("Environment="))
    .flatMap((line) => line.slice("Environment=".length).split(" "))
    .map((pair) => pair.split("=") as [string, string]);
  const environment = Object.fromEntries(pairs);
  const { values } = loadSettings({ environment, flags: {} });
  expect(linesOf(text)).toContain(`StateDirectory=${values.data.replace("%S/", "")}`);
  const credentials = linesOf(text).flatMap(
    (line) => /^LoadCredential=([^:]+):\/etc\/posthouse\/\1$/.exec(line)?.[1] ?? [],
  );
  const used = pairs.flatMap(([, value]) => /^%d\/(.+)$/.exec(value)?.[1] ?? []);
  expect(used).toEqual(credentials);
  expect(environment["POSTHOUSE_SETTINGS"]).toBe(`%d/${unit.replaceAll(/^posthouse-|\.service$/g, "")}.yaml`);
});

test("a stop may take as long as the gateway's drain and the rest of the program", () => {
  const { values } = loadSettings({ environment: {}, flags: {} });
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(read("posthouse.service"))?.[1]);
  const rest = Number(/STOP_MS_MAX = (\d+)_000/.exec(readFileSync(join(projectRoot, "cli/serve.ts"), "utf8"))?.[1]);
  expect(seconds).toBeGreaterThan(values.gatewayDrainSeconds + rest);
});
