/** Posthouse as one real process: starting, refusing to start, being killed, and finding everything again. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  call,
  eventually,
  projectRoot,
  startCommand,
  startPosthouse,
  startProgram,
  startService,
  tempFolder,
  testHost,
} from "#test/kit";
import { ownTls } from "../../server/certificates.ts";

/** Without the roles that a test does not need: a start costs half as much. */
const CONTROL = ["--roles", "registry", "config-server", "--dns", "off"];
const SET = "/v1/config/default/orders/default";
const release = (value: string) => ({ items: { "app.yaml": { format: "yaml", value } }, reason: "test" });

test("it is ready once it says that it is up, and stops with 0 when asked", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  await eventually("ready", async () => (await call(`${posthouse.api}/readyz`)).status === 200);
  expect(posthouse.token).toMatch(/^ph_/);
  expect(await posthouse.stop()).toEqual({ code: 0, signal: null });
  expect(posthouse.output()).toMatch(/stopped\n$/);
});

test("a second start finds everything again, after a stop and after kill -9", async () => {
  await using data = await tempFolder();
  await using service = await startService("orders");
  let token: string | undefined;
  let ports: string[] = [];
  for (const ending of ["SIGINT", "SIGKILL", "SIGTERM", "SIGKILL"] as const) {
    await using posthouse = await startPosthouse({ data: data.path, args: ports });
    token ??= posthouse.token;
    if (ports.length === 0) {
      ports = ["--port", new URL(posthouse.api).port, "--gateway-port", new URL(posthouse.gateway).port];
      const url = `${posthouse.api}/v1/services/orders/instances/one`;
      const body = { address: "127.0.0.1", port: service.port };
      expect((await call(url, { method: "PUT", token, body })).status).toBe(201);
      const gateway = { routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] };
      const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(gateway) } };
      const routes = `${posthouse.api}/v1/config/default/gateway/default/releases`;
      expect((await call(routes, { method: "POST", token, body: { items } })).status).toBe(201);
    } else {
      expect(posthouse.token).toBeUndefined();
    }
    const { status, json } = await call(`${posthouse.api}${SET}/releases`, {
      method: "POST",
      token,
      body: release("a: 1"),
    });
    expect(status).toBe(201);
    const version = json["version"] as number;
    await eventually("the route works", async () => (await call(`${posthouse.gateway}/x`)).status === 200);
    const history = await call(`${posthouse.api}${SET}/releases`, { token });
    expect((history.json["releases"] as { version: number }[]).map((one) => one.version)).toEqual(
      Array.from({ length: version }, (_, index) => version - index),
    );
    posthouse.kill(ending);
    await posthouse.exited;
  }
});

test("the gateway's certificate is of the authority of the control plane, whose roots are in the data folder and stay", async () => {
  await using data = await tempFolder();
  const ca = join(data.path, "tls", "ca.pem");
  let first = "";
  {
    await using posthouse = await startPosthouse({ data: data.path });
    first = await readFile(ca, "utf8");
    const bundle = await call(`${posthouse.api}/v1/trust-bundle`);
    expect(bundle.json["pem"]).toBe(first);
    await posthouse.stop();
  }
  await using again = await startPosthouse({ data: data.path });
  expect(await readFile(ca, "utf8")).toBe(first);
  await using curl = startProgram("test/e2e/tls-client.ts", [again.gatewayTls, ca]);
  expect((await curl.exited).code).toBe(0);
  expect(curl.output()).toContain("404 GATEWAY_ROUTE_NOT_FOUND");
});

test("after an upgrade the gateway keeps the local authority that its clients trust", async () => {
  await using data = await tempFolder();
  const ca = join(data.path, "tls", "ca.pem");
  await ownTls(testHost(), join(data.path, "tls"), ["localhost", "127.0.0.1"]);
  const trusted = await readFile(ca, "utf8");
  await using posthouse = await startPosthouse({ data: data.path });
  expect(await readFile(ca, "utf8")).toBe(trusted);
  await using curl = startProgram("test/e2e/tls-client.ts", [posthouse.gatewayTls, ca]);
  expect((await curl.exited).code).toBe(0);
});

interface Refusal {
  readonly what: string;
  readonly prepare?: (data: string) => Promise<void>;
  readonly args?: (data: string) => string[];
  readonly environment?: Record<string, string>;
  readonly code: number;
  readonly words: readonly string[];
}

const REFUSALS: Refusal[] = [
  { what: "an unknown flag", args: () => ["--prot", "1"], code: 2, words: ["--prot", "--port"] },
  { what: "a port that is not a number", args: () => ["--port", "x"], code: 2, words: ["SETTINGS_INVALID", "--port"] },
  {
    what: "an unknown variable",
    environment: { POSTHOUSE_PRT: "1" },
    code: 2,
    words: ["SETTINGS_UNKNOWN", "POSTHOUSE_PRT"],
  },
  {
    what: "garbage in the data folder",
    prepare: async (data) => {
      await mkdir(join(data, "store"), { recursive: true });
      await writeFile(join(data, "store", "data.mdb"), "this is not a store".repeat(1000));
    },
    code: 1,
    words: ["STORE_CORRUPT", "store"],
  },
  {
    what: "a data folder that is a file",
    prepare: (data) => writeFile(join(data, "file"), ""),
    args: (data) => ["--data", join(data, "file")],
    code: 1,
    words: ["file"],
  },
  {
    what: "an etcd that is not there",
    args: () => ["--store", "etcd", "--etcd-urls", "http://127.0.0.1:1", "--store-start-seconds", "1"],
    code: 1,
    words: ["127.0.0.1:1"],
  },
  {
    what: "an agent in a process of its own without a token",
    args: () => ["--roles", "agent"],
    code: 2,
    words: ["SERVER_SETTINGS_CONFLICT", "--token"],
  },
  {
    what: "a gateway certificate that is not there",
    args: () => ["--gateway-cert-file", "/nowhere/a.pem", "--gateway-key-file", "/nowhere/k.pem"],
    code: 1,
    words: ["TLS_UNREADABLE", "/nowhere/a.pem"],
  },
  {
    what: "a control API beyond this machine without TLS",
    args: () => ["--tls", "off", "--host", "0.0.0.0"],
    code: 2,
    words: ["SERVER_PLAINTEXT", "--host", "--insecure-plaintext"],
  },
  {
    what: "an agent beyond this machine without TLS",
    args: () => ["--tls", "off", "--agent-host", "0.0.0.0"],
    code: 2,
    words: ["SERVER_PLAINTEXT", "--agent-host"],
  },
  {
    what: "etcd over TLS at an address, which cannot be verified",
    args: () => ["--store", "etcd", "--etcd-urls", "https://127.0.0.1:1"],
    code: 2,
    words: ["STORE_INVALID", "host name"],
  },
  {
    what: "a certificate of the listeners that is not there",
    args: () => ["--tls", "on", "--tls-cert-file", "/nowhere/a.pem", "--tls-key-file", "/nowhere/k.pem"],
    code: 1,
    words: ["TLS_UNREADABLE", "/nowhere/a.pem"],
  },
  {
    what: "a certificate without its key",
    args: () => ["--tls", "on", "--tls-cert-file", "/nowhere/a.pem"],
    code: 2,
    words: ["SERVER_SETTINGS_CONFLICT", "--tls-key-file"],
  },
];

test.each(REFUSALS)(
  "$what ends the start with one clear line and a code",
  async ({ prepare, args, environment, code, words }) => {
    await using data = await tempFolder();
    await prepare?.(data.path);
    const base = ["up", "--data", data.path, "--log-level", "error"];
    const ports = ["--gateway-port", "0", "--gateway-tls-port", "0", "--agent-port", "0", "--dns-port", "0"];
    const own = args?.(data.path) ?? [];
    const given = own.includes("--port") ? [] : ["--port", "0"];
    await using program = startProgram(
      "bin/posthouse",
      [...base, ...ports, ...given, ...own],
      environment ? { environment } : {},
    );
    const { code: exit } = await program.exited;
    expect([exit, program.errors()]).toEqual([code, expect.any(String)]);
    for (const word of words) expect(program.errors()).toContain(word);
    const lines = program.errors().trim().split("\n");
    expect(lines.filter((line) => line.startsWith("posthouse:") || line.startsWith("error:"))).toHaveLength(1);
    expect(program.errors()).not.toMatch(/^\s+at /m);
  },
);

test.each([
  ["--port", "port"],
  ["--gateway-port", "gatewayPort"],
  ["--gateway-tls-port", "gatewayTlsPort"],
  ["--agent-port", "agentPort"],
  ["--dns-port", "dnsPort"],
])("a port in use names its setting: %s", async (flag, setting) => {
  await using data = await tempFolder();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const port = String((taken.address() as AddressInfo).port);
  const started = startPosthouse({ data: data.path, args: [flag, port] });
  await expect(started).rejects.toThrow(new RegExp(`SERVER_PORT_IN_USE.*${port}.*${flag}.*"${setting}"`, "s"));
  await new Promise((resolve) => taken.close(resolve));
});

test("two servers on one data folder: the second says so, and the first goes on", async () => {
  await using data = await tempFolder();
  await using first = await startPosthouse({ data: data.path, args: CONTROL });
  await expect(startPosthouse({ data: data.path, args: CONTROL })).rejects.toThrow("STORE_LOCKED");
  expect((await call(`${first.api}/readyz`)).status).toBe(200);
});

test("the output at the start comes in one piece, including the token", async () => {
  await using data = await tempFolder();
  const free = ["port", "operations-port", "gateway-port", "gateway-tls-port", "agent-port", "dns-port"];
  await using program = startProgram("bin/posthouse", [
    "up",
    "--data",
    data.path,
    ...free.flatMap((name) => [`--${name}`, "0"]),
  ]);
  const chunks: string[] = [];
  program.child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk.toString()));
  const said = await eventually("posthouse is up", () => chunks.find((chunk) => chunk.includes(" is up")));
  expect(said).toMatch(/ is up\n[^]*control API[^]*\n {2}ph_\S+\n\n$/);
});

test("a lost operator token is replaced from the data folder while no server runs on it, and revoked when asked", async () => {
  await using data = await tempFolder();
  let lost: string | undefined;
  {
    await using posthouse = await startPosthouse({ data: data.path, args: CONTROL });
    lost = posthouse.token;
    await using refused = startProgram("bin/posthouse", ["operator-token", "--data", data.path]);
    expect((await refused.exited).code).toBe(1);
    expect(refused.errors()).toContain("STORE_LOCKED");
    await posthouse.stop();
  }
  await using made = startProgram("bin/posthouse", ["operator-token", "--data", data.path]);
  expect((await made.exited).code).toBe(0);
  expect(made.errors()).toMatch(
    new RegExp(`still work[^]*token revoke ID[^]*${lost?.split("_")[1]}  operator, created`),
  );
  await using last = startProgram("bin/posthouse", ["operator-token", "--revoke-others", "--data", data.path]);
  expect((await last.exited).code).toBe(0);
  expect(last.errors()).toContain("no longer work");
  await using posthouse = await startPosthouse({ data: data.path, args: CONTROL });
  const status = async (token: string | undefined) => (await call(`${posthouse.api}/v1/services`, { token })).status;
  expect(await status(last.output().trim())).toBe(200);
  expect(await status(made.output().trim())).toBe(401);
  expect(await status(lost)).toBe(401);
});

test("a full disk refuses the write by name, and loses nothing acknowledged", async () => {
  await using data = await tempFolder();
  const settings = ["up", "--data", data.path, "--log-level", "error", ...CONTROL, "--port", "0"];
  // Files of this process end at 3 MB, which the kernel tells as it tells a full disk.
  const limited = `ulimit -f 3000; exec "$0" "$@"`;
  const main = join(projectRoot, "bin/posthouse");
  await using program = startCommand("bash", ["-c", limited, process.execPath, main, ...settings]);
  const api = await eventually("it is up", () => /control API +(\S+)\n[\s\S]*\n\n/.exec(program.output())?.[1]);
  const token = /^ {2}(ph_\S+)$/m.exec(program.output())?.[1];
  let acknowledged = 0;
  let refusal: { status: number; code: unknown } | undefined;
  for (let i = 1; i <= 40 && !refusal; i++) {
    const body = release(`n: ${i}\ntext: ${"x".repeat(200_000)}`);
    const { status, json } = await call(`${api}${SET}/releases`, { method: "POST", token, body });
    if (status === 201) acknowledged = json["version"] as number;
    else refusal = { status, code: json["code"] };
  }
  expect(refusal).toEqual({ status: 507, code: "STORE_FULL" });
  expect(acknowledged).toBeGreaterThan(1);
  program.kill("SIGINT");
  expect((await program.exited).code).toBe(0);
  await using again = await startPosthouse({ data: data.path, args: CONTROL });
  const { json } = await call(`${again.api}${SET}/releases/${acknowledged}`, { token });
  expect(json).toMatchObject({ version: acknowledged });
});

test("a gateway serves from a file alone, takes what it is changed to, and starts again without it", async () => {
  await using folder = await tempFolder();
  await using one = await startService("one");
  const file = join(folder.path, "gateway.yaml");
  const write = (path: string) =>
    writeFile(
      file,
      `clusters: [{ name: one, endpoints: [{ address: 127.0.0.1, port: ${one.port} }] }]\nroutes: [{ name: r, match: { path: { prefix: ${path} } }, cluster: one }]\n`,
    );
  await write("/first");
  const start = () =>
    startPosthouse({ data: join(folder.path, "data"), args: ["--roles", "gateway", "--gateway-file", file] });
  {
    await using gateway = await start();
    const status = async (path: string) => (await call(`${gateway.gateway}${path}`)).status;
    await eventually("it serves", async () => (await status("/first")) === 200);
    expect((await call(`${gateway.operations}/readyz`)).status).toBe(200);
    await write("/second");
    await eventually("the change holds", async () => (await status("/second")) === 200);
    expect(await status("/first")).toBe(404);
    await eventually("it is kept", async () =>
      (await readFile(join(folder.path, "data/gateway/snapshot.json"), "utf8")).includes("/second"),
    );
    gateway.kill("SIGKILL");
    await gateway.exited;
  }
  await rm(file);
  await using again = await start();
  await eventually("it serves by what it had", async () => (await call(`${again.gateway}/second`)).status === 200);
});
