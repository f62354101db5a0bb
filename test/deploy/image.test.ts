/** The container image, without Docker: the Dockerfile is valid, copies only files that the build may read, and starts without a shell. */
import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, matchesGlob } from "node:path";
import { promisify } from "node:util";
import { validate } from "dockerfile-utils";
import { expect, test } from "vitest";
import { loadSettings } from "#settings";
import { projectRoot } from "#test/kit";

const run = promisify(execFile);
const read = (path: string) => readFileSync(join(projectRoot, path), "utf8");
const dockerfile = read("deploy/Dockerfile");
const manifest = JSON.parse(read("package.json")) as { readonly devDependencies: Record<string, string> };

interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** The instructions of each stage, comments removed and continued lines joined. */
function stagesOf(text: string): Instruction[][] {
  const lines = text
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  const stages: Instruction[][] = [];
  for (const line of lines.filter((line) => line.trim() !== "")) {
    const [name = "", ...rest] = line.split(" ");
    if (name === "FROM") stages.push([]);
    stages.at(-1)?.push({ name, value: rest.join(" ") });
  }
  return stages;
}

const stages = stagesOf(dockerfile);
const image = stages.at(-1) ?? [];
const valuesOf = (name: string) => image.filter((instruction) => instruction.name === name).map(({ value }) => value);
/** Paths that a build may read. */
const allowed = read(".dockerignore")
  .split("\n")
  .flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : []));
const isAllowed = (path: string) => allowed.some((entry) => path === entry || matchesGlob(path, `${entry}/**`));

test("the Dockerfile is valid, and the check sees an error", () => {
  expect(validate(dockerfile)).toEqual([]);
  expect(validate(dockerfile.replace("WORKDIR /app", "WORKDIRR /app"))).not.toEqual([]);
});

test("every stage has the Node that the tests run on", () => {
  const bases = stages.map(([from]) => from?.value.split(" ")[0]);
  expect(bases).toEqual(bases.map(() => `node:${manifest.devDependencies["node"]}-slim`));
});

test("the image does not run as root, stops at SIGTERM, keeps its data in a volume, and needs no shell", () => {
  expect(valuesOf("USER")).toEqual(["1000:1000"]);
  expect(valuesOf("STOPSIGNAL")).toEqual(["SIGTERM"]);
  expect(valuesOf("VOLUME")).toEqual(["/data"]);
  for (const value of [...valuesOf("ENTRYPOINT"), ...valuesOf("CMD"), ...valuesOf("RUN")])
    expect(Array.isArray(JSON.parse(value)), value).toBe(true);
  expect(valuesOf("HEALTHCHECK")[0]).toMatch(/CMD \["node", /);
  // The last user is in force when the container starts, after the steps that need root.
  expect(image.findIndex(({ name }) => name === "USER")).toBeGreaterThan(
    image.findLastIndex(({ name }) => name === "RUN"),
  );
});

test("the settings of the image exist, and its ports are the defaults", () => {
  const pairs = valuesOf("ENV").flatMap((value) => value.split(" ").map((pair) => pair.split("=") as [string, string]));
  const { values } = loadSettings({ environment: Object.fromEntries(pairs), flags: {} });
  expect(values.data).toBe("/data");
  const { port, agentPort, operationsPort, gatewayPort, gatewayTlsPort, dnsPort } = values;
  const exposed = [port, agentPort, operationsPort, gatewayPort, gatewayTlsPort, `${dnsPort}/tcp`, `${dnsPort}/udp`];
  expect(valuesOf("EXPOSE")).toEqual([exposed.join(" ")]);
});

test("every copied file exists and may be read by the build", () => {
  const copied = stages
    .flat()
    .filter(({ name, value }) => name === "COPY" && !value.startsWith("--from="))
    .flatMap(({ value }) => value.split(" ").slice(0, -1))
    .filter((path) => path !== ".");
  expect(copied).toContain("package-lock.json");
  expect(copied.filter((path) => !isAllowed(path))).toEqual([]);
  expect(allowed.filter((path) => globSync(path, { cwd: projectRoot }).length === 0)).toEqual([]);
});

test("the build may read every source of the program, and no test, data or secret", () => {
  const { exclude } = JSON.parse(read("tsconfig.build.json")) as { readonly exclude: readonly string[] };
  const sources = globSync("**/*.ts", { cwd: projectRoot, exclude: ["**/node_modules", ...exclude] });
  expect(sources.length).toBeGreaterThan(300);
  expect(sources.filter((path) => !isAllowed(path))).toEqual([]);
  for (const path of ["test/kit/mod.ts", "data/secret-keys", "deploy/metrics-token", ".git/config", ".env"])
    expect(isAllowed(path), path).toBe(false);
});

test("the health check succeeds only while posthouse is ready", async () => {
  const [, command = ""] = /CMD (\[.*\])$/.exec(valuesOf("HEALTHCHECK")[0] ?? "") ?? [];
  const [, ...args] = JSON.parse(command) as string[];
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`;
  const check = () =>
    run(process.execPath, args, { env: { HEALTH_URL: url } }).then(
      () => 0,
      (error: unknown) => (error as { code: number }).code,
    );
  expect(await check()).toBe(0);
  status = 503;
  expect(await check()).toBe(1);
  await new Promise((resolve) => server.close(resolve));
  expect(await check()).toBe(1);
});
