/** The compose file and its monitoring: accepted by docker-compose and promtool; settings, files, metrics and data sources exist. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { collectDefaultMetrics, Registry } from "prom-client";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { loadSettings } from "#settings";
import { projectRoot, tempFolder } from "#test/kit";

const run = promisify(execFile);
const deploy = join(projectRoot, "deploy");
const read = (path: string) => readFileSync(join(deploy, path), "utf8");
const text = read("compose.yaml");

interface Service {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly [field: string]: unknown;
}

const compose = parse(text, { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);
const ours = services.filter(([, { image }]) => image === "posthouse");

/** Lets docker-compose check a file with every profile. It does not need Docker for that. */
async function check(file: string): Promise<void> {
  await using temp = await tempFolder();
  const path = join(temp.path, "compose.yaml");
  // The docker-compose of Debian 12 does not know this field, which later versions have.
  await writeFile(path, file.replace(/^name: .*\n/m, ""));
  const profiles = ["--profile", "demo", "--profile", "metrics"];
  await run("docker-compose", ["-p", "posthouse", "-f", path, ...profiles, "config", "--quiet"], { cwd: temp.path });
}

test("docker-compose accepts the file, and sees an error", async () => {
  await check(text);
  await expect(check(text.replace("cap_drop:", "cap_dropp:"))).rejects.toThrow("cap_dropp");
});

test("posthouse starts alone; the demo and the monitoring have profiles", () => {
  const profiles = Object.fromEntries(services.map(([name, service]) => [name, service.profiles]));
  expect(profiles).toEqual({ posthouse: undefined, demo: ["demo"], prometheus: ["metrics"], grafana: ["metrics"] });
});

test("every setting of a container exists, and a stop may take as long as it needs", () => {
  expect(ours.map(([name]) => name)).toEqual(["posthouse", "demo"]);
  for (const [name, { environment, stop_grace_period }] of ours) {
    const { values } = loadSettings({ environment: environment ?? {}, flags: {} });
    expect(values.insecurePlaintext, name).toBe(true);
    expect(Number.parseInt(String(stop_grace_period))).toBeGreaterThan(values.gatewayDrainSeconds + 15);
  }
  const { command = [] } = compose.services["demo"] as Service;
  const { values } = loadSettings({ environment: {}, flags: { portBase: command.at(-1) as string } });
  expect(compose.services["demo"]?.ports).toEqual(
    [values.port, values.gatewayPort].map((port) => `127.0.0.1:${port}:${port}`),
  );
  expect(compose.services["demo"]?.environment?.["HEALTH_URL"]).toBe(`http://127.0.0.1:${values.port}/readyz`);
});

test("a container has a read-only root and no capabilities, and only the gateway is open to other machines", () => {
  for (const [name, service] of services) {
    expect(service["cap_drop"], name).toEqual(["ALL"]);
    expect(service["security_opt"], name).toEqual(["no-new-privileges:true"]);
  }
  for (const [name, service] of ours) expect(service["read_only"], name).toBe(true);
  const open = services.flatMap(([, { ports = [] }]) => ports.filter((port) => !port.startsWith("127.0.0.1:")));
  expect(open).toEqual(["8080:8080", "8443:8443"]);
});

test("every mounted file and volume exists, and images of others have a version", () => {
  for (const [name, { image, volumes = [] }] of services) {
    if (image !== "posthouse") expect(image, name).toMatch(/^[a-z/]+:v?\d+\.\d+\.\d+$/);
    for (const [from = ""] of volumes.map((volume) => volume.split(":")))
      expect(from.startsWith("./") ? existsSync(join(deploy, from)) : from in compose.volumes, from).toBe(true);
  }
});

test("Prometheus accepts its settings, and they follow the compose file", async () => {
  const { stdout } = await run("promtool", [
    "check",
    "config",
    "--syntax-only",
    join(deploy, "prometheus/prometheus.yaml"),
  ]);
  expect(stdout).toContain("SUCCESS");
  const [job] = (parse(read("prometheus/prometheus.yaml")) as { scrape_configs: Record<string, unknown>[] })
    .scrape_configs;
  expect(job?.["static_configs"]).toEqual([{ targets: ["posthouse:8500"] }]);
  expect(job?.["authorization"]).toEqual({ credentials_file: "/run/secrets/metrics-token" });
  expect(compose.services["prometheus"]?.["secrets"]).toEqual(["metrics-token"]);
});

interface Panel {
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const { panels } = JSON.parse(read("grafana/dashboards/posthouse.json")) as { readonly panels: readonly Panel[] };
const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

test("Prometheus accepts every query of the dashboard", async () => {
  await using temp = await tempFolder();
  const file = join(temp.path, "rules.yaml");
  const check = async (expressions: readonly string[]) => {
    // Grafana replaces this variable.
    const rules = expressions.map((expr, at) => ({
      record: `q${at}`,
      expr: expr.replaceAll("$__rate_interval", "1m"),
    }));
    await writeFile(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
    return (await run("promtool", ["check", "rules", file])).stdout;
  };
  expect(queries.length).toBeGreaterThan(20);
  expect(await check(queries)).toContain(`SUCCESS: ${queries.length} rules found`);
  await expect(check([...queries, "sum(rate(up[1m])"])).rejects.toThrow("promtool");
});

test("every metric of the dashboard exists", () => {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const documented = readFileSync(join(projectRoot, "docs/reference/metrics.md"), "utf8");
  const known = new Set([
    ...register.getMetricsAsArray().map(({ name }) => name),
    ...[...documented.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name),
  ]);
  register.clear();
  const used = queries.flatMap((query) => query.match(/\b(posthouse|process|nodejs)_\w+/g) ?? []);
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter((name) => !known.has(name.replace(/_bucket$/, "")))).toEqual([]);
});

test("the dashboard uses the provisioned data source, is found, and its panels do not overlap", () => {
  const [source] = (
    parse(read("grafana/provisioning/datasources/prometheus.yaml")) as { datasources: { uid: string }[] }
  ).datasources;
  for (const { title, datasource } of panels) expect(datasource?.uid ?? source?.uid, title).toBe(source?.uid);
  const provider = read("grafana/provisioning/dashboards/posthouse.yaml");
  const mounted = /^\.\/grafana\/dashboards:([^:]+):ro$/.exec(compose.services["grafana"]?.volumes?.[1] ?? "")?.[1];
  expect(provider).toContain(`path: ${mounted}\n`);
  const cells = panels.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
});
