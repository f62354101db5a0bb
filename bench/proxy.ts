/**
 * What a proxied request costs: CPU microseconds of the proxy's process per request, on one pinned core, beside nginx and
 * beside plain fastify with @fastify/http-proxy in the same run, turn by turn. Load and upstream are on the other core.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { call, freePort, projectRoot } from "#test/kit";
import { cpuMicrosOfTree, need, residentMiB, round, type Running, type Spread, spread, startPinned } from "./kit.ts";

const ROUNDS = 5;
const SECONDS = 4;
const WARM_SECONDS = 2;
const CONNECTIONS = 64;
const PROXY_CORE = 0;
const LOAD_CORE = 1;

interface Candidate {
  readonly name: string;
  readonly running: Running;
  readonly url: string;
  readonly headers: readonly string[];
  readonly cpu: number[];
  readonly rate: number[];
  readonly p50: number[];
  readonly p99: number[];
  failed: number;
}

function nginxConfig(folder: string, body: string): string {
  return `daemon off; worker_processes 1; error_log stderr crit; pid ${folder}/nginx.pid;
events { worker_connections 4096; }
http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s; keepalive_requests 1000000; ${body} }`;
}

/** One turn of load; counts what was not answered with 2xx. */
function wrk(
  { url, headers }: Candidate,
  seconds: number,
): { requests: number; failed: number; p50: number; p99: number } {
  const args = [
    "-c",
    String(LOAD_CORE),
    "wrk",
    "-t1",
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    "--latency",
    ...headers,
    url,
  ];
  const { stdout } = spawnSync("taskset", args, { encoding: "utf8" });
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const ms = (pattern: RegExp) => {
    const [, value, unit] = pattern.exec(stdout) ?? [];
    return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
  };
  const errors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)?.slice(1).map(Number) ?? [];
  return {
    requests: number(/(\d+) requests in/),
    failed: number(/Non-2xx or 3xx responses: (\d+)/) + errors.reduce((sum, count) => sum + count, 0),
    p50: ms(/50%\s+([\d.]+)(us|ms|s)/),
    p99: ms(/99%\s+([\d.]+)(us|ms|s)/),
  };
}

export async function benchProxy(): Promise<object> {
  need("nginx", "wrk", "taskset");
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const upstreamPort = await freePort();
  const answer = JSON.stringify({ text: "x".repeat(190) });
  const start = async (core: number, name: string, body: string) => {
    const file = join(folder, `${name}.conf`);
    await writeFile(file, nginxConfig(folder, body).replaceAll("nginx.pid", `${name}.pid`));
    return stack.use(await startPinned(core, "nginx", ["-c", file]));
  };
  await start(
    LOAD_CORE,
    "upstream",
    `server { listen 127.0.0.1:${upstreamPort}; location / { default_type application/json; return 200 '${answer}'; } }`,
  );

  const nginxPort = await freePort();
  const nginx = await start(
    PROXY_CORE,
    "proxy",
    `upstream u { server 127.0.0.1:${upstreamPort}; keepalive 64; keepalive_requests 1000000; }
     server { listen 127.0.0.1:${nginxPort}; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
  );
  const plainPort = await freePort();
  const plain = stack.use(
    await startPinned(
      PROXY_CORE,
      process.execPath,
      [join(projectRoot, "bench/plain-proxy.ts"), String(plainPort), `http://127.0.0.1:${upstreamPort}`],
      /listening/,
    ),
  );
  const { bare, full, token, running } = await startGateway(stack, folder, upstreamPort);

  const candidate = (name: string, process: Running, url: string, headers: string[] = []): Candidate => ({
    name,
    running: process,
    url,
    headers,
    cpu: [],
    rate: [],
    p50: [],
    p99: [],
    failed: 0,
  });
  const candidates = [
    candidate("nginx", nginx, `http://127.0.0.1:${nginxPort}/x`),
    candidate("fastify + @fastify/http-proxy, defaults", plain, `http://127.0.0.1:${plainPort}/x`),
    candidate("posthouse, bare route", running, bare),
    candidate("posthouse, JWT + ACL + rate limit", running, full, ["-H", `authorization: Bearer ${token}`]),
  ];
  for (const one of candidates) wrk(one, WARM_SECONDS);
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const one of candidates) {
      const before = cpuMicrosOfTree(one.running.pid);
      const { requests, failed, p50, p99 } = wrk(one, SECONDS);
      one.cpu.push((cpuMicrosOfTree(one.running.pid) - before) / requests);
      one.rate.push(requests / SECONDS);
      one.p50.push(p50);
      one.p99.push(p99);
      one.failed += failed;
    }
  }
  const peer = spread(candidates[0]?.cpu ?? []).median;
  const rows = candidates.map((one): [string, object] => {
    const cpu: Spread = spread(one.cpu);
    return [
      one.name,
      {
        cpuMicrosPerRequest: cpu,
        ratioToNginx: round(cpu.median / peer),
        requestsPerSecond: spread(one.rate),
        p50Ms: spread(one.p50),
        p99Ms: spread(one.p99),
        failed: one.failed,
        residentMiB: residentMiB(one.running.pid),
      },
    ];
  });
  return {
    connections: CONNECTIONS,
    seconds: SECONDS,
    rounds: ROUNDS,
    answerBytes: answer.length,
    ...Object.fromEntries(rows),
  };
}

/** A whole posthouse on the pinned core, with an open route and one that asks for everything. */
async function startGateway(stack: AsyncDisposableStack, folder: string, upstreamPort: number) {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "bench", alg: "ES256", use: "sig" }] });
  const provider = stack.adopt(
    createServer((_request, response) => response.setHeader("content-type", "application/json").end(keys)),
    (server) => void server.close(),
  );
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const token = await new SignJWT({ scope: "orders:read" })
    .setProtectedHeader({ alg: "ES256", kid: "bench", typ: "at+jwt" })
    .setIssuer(issuer)
    .setAudience("bench")
    .setSubject("bench")
    .setIssuedAt()
    .setExpirationTime("2h")
    .sign(privateKey);
  const ports = ["--port", "0", "--gateway-port", "0", "--gateway-tls-port", "0", "--agent-port", "0", "--dns", "off"];
  const args = [
    join(projectRoot, "cli/main.ts"),
    "up",
    "--data",
    join(folder, "data"),
    "--log-level",
    "warn",
    ...ports,
  ];
  const running = stack.use(await startPinned(PROXY_CORE, process.execPath, args, /is up[\s\S]*\n\n/));
  const find = (pattern: RegExp) => pattern.exec(running.output())?.[1] ?? "";
  const api = find(/control API +(\S+)/);
  const gateway = find(/gateway +(http:\S+)/);
  const operator = find(/^ {2}(ph_\S+)$/m);
  const body = { address: "127.0.0.1", port: upstreamPort };
  await call(`${api}/v1/services/orders/instances/one`, { method: "PUT", token: operator, body });
  const config = {
    jwt: [{ name: "idp", issuer, audience: ["bench"], algorithms: ["ES256"], jwks: { url: issuer } }],
    routes: [
      { name: "bare", match: { path: { prefix: "/bare" } }, service: "orders" },
      {
        name: "full",
        match: { path: { prefix: "/full" } },
        service: "orders",
        jwt: { provider: "idp" },
        acl: { allow: [{ claim: "scope", contains: "orders:read" }] },
        rateLimit: { requests: 1_000_000, perSeconds: 1, by: { claim: "sub" } },
      },
    ],
  };
  const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(config) } };
  const released = await call(`${api}/v1/config/default/gateway/default/releases`, {
    method: "POST",
    token: operator,
    body: { items },
  });
  if (released.status !== 201) throw new Error(released.text);
  const urls = { bare: `${gateway}/bare/x`, full: `${gateway}/full/x` };
  const ready = async () => (await call(urls.bare)).status === 200 && (await call(urls.full, { token })).status === 200;
  while (!(await ready())) await new Promise((resolve) => setTimeout(resolve, 50));
  return { ...urls, token, running };
}
