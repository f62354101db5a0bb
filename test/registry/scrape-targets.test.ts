/** Service discovery for Prometheus: the targets and their labels, what a caller may see, and a real Prometheus that follows them. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { eventually, freePort, projectRoot, startCommand, tempFolder, type TestControl, withControl } from "#test/kit";
import { type GuideBlock, guideBlocks } from "../kit/guide.ts";
import { testInstance } from "../kit/instance.ts";
import { scrapeTargetOf } from "../../registry/core/scrape-targets.ts";

test("a target has the instance's address, and its facts as meta labels", () => {
  const target = scrapeTargetOf(
    testInstance({
      tags: ["blue", "eu"],
      zone: "a",
      version: "1.2",
      metadata: {
        "team.name": "riders",
        "prometheus.port": "9100",
        "prometheus.path": "/m",
        "prometheus.scheme": "https",
      },
    }),
  );
  expect(target).toEqual({
    targets: ["10.0.0.1:9100"],
    labels: {
      __scheme__: "https",
      __metrics_path__: "/m",
      __meta_posthouse_namespace: "default",
      __meta_posthouse_service: "orders",
      __meta_posthouse_instance: "orders-1",
      __meta_posthouse_address: "10.0.0.1",
      __meta_posthouse_port: "8080",
      __meta_posthouse_status: "passing",
      __meta_posthouse_lifecycle: "serving",
      __meta_posthouse_zone: "a",
      __meta_posthouse_version: "1.2",
      __meta_posthouse_tags: ",blue,eu,",
      __meta_posthouse_metadata_team_name: "riders",
      __meta_posthouse_metadata_prometheus_port: "9100",
      __meta_posthouse_metadata_prometheus_path: "/m",
      __meta_posthouse_metadata_prometheus_scheme: "https",
    },
  });
});

test.each([
  ["no port", "prometheus.port", "http"],
  ["port zero", "prometheus.port", "0"],
  ["a port beyond the last", "prometheus.port", "65536"],
  ["a relative path", "prometheus.path", "metrics"],
  ["another scheme", "prometheus.scheme", "file"],
])("%s in the metadata changes nothing", (_name, key, value) => {
  const { targets, labels } = scrapeTargetOf(testInstance({ metadata: { [key]: value } }));
  expect(targets).toEqual(["10.0.0.1:8080"]);
  expect(labels).toMatchObject({ __scheme__: "http", __metrics_path__: "/metrics" });
});

test("IPv6 addresses are in brackets, and a service behind TLS is scraped by HTTPS", () => {
  const { targets, labels } = scrapeTargetOf(testInstance({ address: "::1", protocol: "grpcs" }));
  expect(targets).toEqual(["[::1]:8080"]);
  expect(labels["__scheme__"]).toBe("https");
});

async function register({ client }: TestControl, service: string, id: string, port: number, tags: string[] = []) {
  const checks = [{ id: "ttl", type: "ttl" as const, ttlSeconds: 60 }];
  const name = { namespace: "default", service, id };
  await client.registry.register(name, { address: "127.0.0.1", port, tags, checks });
  const { revision } = await client.registry.report(name, "ttl", { status: "passing" });
  await client.registry.instances(name, { revision });
}

test("filters choose the targets, and a bad filter is refused", async () => {
  await using control = await withControl();
  await register(control, "orders", "a", 1, ["blue"]);
  await register(control, "orders", "b", 2);
  await register(control, "riders", "c", 3);
  const failing = { namespace: "default", service: "orders", id: "b" };
  const { revision } = await control.client.registry.report(failing, "ttl", { status: "critical" });
  await control.client.registry.instances(failing, { revision });
  const targets = async (query: string) => {
    const response = await control.app.inject({
      url: `/v1/sd/prometheus${query}`,
      headers: { authorization: `Bearer ${control.token}`, host: "127.0.0.1" },
    });
    expect(response.statusCode).toBe(200);
    return response.json<{ targets: string[] }[]>().flatMap((one) => one.targets);
  };
  expect(await targets("")).toEqual(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
  expect(await targets("?service=riders")).toEqual(["127.0.0.1:3"]);
  expect(await targets("?tag=blue")).toEqual(["127.0.0.1:1"]);
  expect(await targets("?healthy=true")).toEqual(["127.0.0.1:1", "127.0.0.1:3"]);
  expect(await targets("?healthy=false")).toEqual(["127.0.0.1:2"]);
  expect(await targets("?namespace=elsewhere")).toEqual([]);
  expect(await targets(`?filter=${encodeURIComponent('"blue" in tags')}`)).toEqual(["127.0.0.1:1"]);
  expect(await control.call("GET", "/v1/sd/prometheus?filter=zone%20%3D")).toMatchObject({
    status: 400,
    json: { code: "REGISTRY_FILTER_INVALID" },
  });
  expect(await control.call("GET", "/v1/sd/prometheus?servce=orders")).toMatchObject({ status: 400 });
});

/** A service that only serves metrics. */
async function metricsService(name: string): Promise<number> {
  const server = createServer((_request, response) => {
    response.setHeader("content-type", "text/plain; version=0.0.4");
    response.end(`# HELP errands_total E.\n# TYPE errands_total counter\nerrands_total{of="${name}"} 7\n`);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** The settings of docs/guides/observability.md with the addresses of this test, faster, and posthouse itself as a target. */
function prometheusConfig(url: string, tokenFile: string): string {
  const guide = readFileSync(join(projectRoot, "docs/guides/observability.md"), "utf8");
  const { text } = guideBlocks(guide).find(({ marker }) => marker === "prometheus") as GuideBlock;
  const here = Object.entries({
    "http://127.0.0.1:8500/": `${url}/`,
    "/etc/prometheus/posthouse-token": tokenFile,
    "refresh_interval: 10s": "refresh_interval: 200ms",
  }).reduce((settings, [there, own]) => {
    expect(settings).toContain(there);
    return settings.replace(there, own);
  }, text);
  const itself = `  - job_name: posthouse\n    static_configs: [{ targets: ["${new URL(url).host}"] }]\n`;
  return `global: { scrape_interval: 200ms, scrape_timeout: 200ms }\n${here}${itself}`;
}

test("a real Prometheus scrapes what is registered, and no longer what is gone", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  const url = await control.app.listen({ port: 0, host: "127.0.0.1" });
  await register(control, "orders", "orders-1", await metricsService("orders"));
  await register(control, "riders", "riders-1", await metricsService("riders"));
  const tokenFile = join(folder.path, "token");
  await writeFile(tokenFile, control.token);
  const file = join(folder.path, "prometheus.yaml");
  await writeFile(file, prometheusConfig(url, tokenFile));
  const address = `127.0.0.1:${await freePort()}`;
  const prometheus = startCommand("prometheus", [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder.path, "data")}`,
    `--web.listen-address=${address}`,
  ]);
  // Before its folder is removed.
  await using _stop = {
    async [Symbol.asyncDispose]() {
      prometheus.kill("SIGKILL");
      await prometheus.exited;
    },
  };
  const query = async (promql: string): Promise<Record<string, string>> => {
    const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(promql)}`);
    const { data } = (await response.json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return Object.fromEntries(data.result.map(({ metric, value }) => [metric["instance"] ?? "", value[1]]));
  };
  const settles = (promql: string, wanted: Record<string, string>) =>
    eventually(`${promql} is ${JSON.stringify(wanted)}`, async () => {
      return JSON.stringify(await query(promql)) === JSON.stringify(wanted);
    });
  await settles('sort_desc(sum by (instance) (errands_total{of="orders", service="orders"}))', { "orders-1": "7" });
  await settles('sum by (instance) (up{service="riders"})', { "riders-1": "1" });
  await settles('max by (instance) (min_over_time(up{job="posthouse"}[2s]))', { [new URL(url).host]: "1" });
  await control.client.registry.deregister({ namespace: "default", service: "riders", id: "riders-1" });
  await settles('sum by (instance) (up{job="services"})', { "orders-1": "1" });
});
