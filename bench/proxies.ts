/**
 * The proxies to compare: the config of each for the same upstream and the same work, and a separate process on the pinned core. Proxies
 * that do not start are reported, and the others are still measured.
 */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createNetServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { call, freePort, projectRoot } from "#test/kit";
import { type Running, startPinned } from "./kit.ts";

/** Versions of the peers from npm. fast-gateway: the last version with installable dependencies. */
const PEERS = { "fast-gateway": "3.4.7", "express-gateway": "1.16.11" } as const;
/** Milliseconds that a proxy may take to answer its first request. */
const START_MS = 30_000;
const CONNECTIONS_MAX = 8192;

export interface Proxy {
  readonly name: string;
  readonly running: Running;
  readonly url: string;
  /** `name: value` */
  readonly headers: readonly string[];
}

export interface Bench {
  readonly stack: AsyncDisposableStack;
  readonly folder: string;
  readonly core: number;
  readonly upstreamPort: number;
  /** A valid token for the proxies that check tokens, by algorithm, and the file of its public key. */
  readonly tokens: Readonly<Record<"RS256" | "ES256", { token: string; keyFile: string }>>;
  readonly jwksUrl: string;
}

/** Tokens of two algorithms and a server for their keys. */
export async function identity(
  stack: AsyncDisposableStack,
  folder: string,
): Promise<Pick<Bench, "tokens" | "jwksUrl">> {
  const keys: object[] = [];
  const provider = stack.adopt(
    createServer((_request, response) =>
      response.setHeader("content-type", "application/json").end(JSON.stringify({ keys })),
    ),
    (server) => void server.close(),
  );
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const jwksUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const make = async (alg: "RS256" | "ES256") => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await exportJWK(publicKey)), kid: alg, alg, use: "sig" });
    const keyFile = join(folder, `${alg}.pem`);
    await writeFile(keyFile, await exportSPKI(publicKey));
    const token = await new SignJWT({ scope: "orders:read" })
      .setProtectedHeader({ alg, kid: alg, typ: "at+jwt" })
      .setIssuer(jwksUrl)
      .setAudience("bench")
      .setSubject("bench")
      .setIssuedAt()
      .setExpirationTime("4h")
      .sign(privateKey);
    return { token, keyFile };
  };
  return { jwksUrl, tokens: { RS256: await make("RS256"), ES256: await make("ES256") } };
}

const bearer = ({ token }: { token: string }) => [`authorization: Bearer ${token}`];

export function nginxConfig(folder: string, name: string, body: string): string {
  return `daemon off; worker_processes 1; error_log stderr crit; pid ${folder}/${name}.pid;
events { worker_connections ${CONNECTIONS_MAX * 2}; }
http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s; keepalive_requests 100000000; ${body} }`;
}

export async function startNginx(
  stack: AsyncDisposableStack,
  folder: string,
  core: number,
  name: string,
  body: string,
) {
  const file = join(folder, `${name}.conf`);
  await writeFile(file, nginxConfig(folder, name, body));
  return stack.use(await startPinned(core, "nginx", ["-c", file]));
}

async function nginx(bench: Bench, name: string, zone: string, location: string): Promise<Proxy> {
  const port = await freePort();
  const running = await startNginx(
    bench.stack,
    bench.folder,
    bench.core,
    name.replaceAll(/\W/g, "-"),
    `${zone} upstream u { least_conn; server 127.0.0.1:${bench.upstreamPort}; keepalive 64; keepalive_requests 100000000; }
     server { listen 127.0.0.1:${port}; location / { ${location} proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
  );
  return { name, running, url: `http://127.0.0.1:${port}/x/y`, headers: [] };
}

async function haproxy(bench: Bench, name: string, rules: string, headers: readonly string[]): Promise<Proxy> {
  const port = await freePort();
  const file = join(bench.folder, `${name.replaceAll(/\W/g, "-")}.cfg`);
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn ${CONNECTIONS_MAX}
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:${port}
${rules}  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:${bench.upstreamPort}
`,
  );
  const running = bench.stack.use(await startPinned(bench.core, "haproxy", ["-db", "-f", file]));
  return { name, running, url: `http://127.0.0.1:${port}/x/y`, headers };
}

/** Verifies tokens, requires a scope, limits by subject: the usual work of a gateway. */
const haproxyRules = (alg: "RS256" | "ES256", keyFile: string) => `
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str ${alg} }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${keyFile}") -m int 1 }
  http-request deny deny_status 403 unless { var(txn.bearer),jwt_payload_query('$.scope') -m str orders:read }
  stick-table type string len 64 size 100k expire 10s store http_req_rate(1s)
  http-request track-sc0 var(txn.bearer),jwt_payload_query('$.sub')
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }
`;

async function caddy(bench: Bench): Promise<Proxy> {
  const port = await freePort();
  const file = join(bench.folder, "Caddyfile");
  await writeFile(
    file,
    `{\n  admin off\n  auto_https off\n}\nhttp://127.0.0.1:${port} {\n  reverse_proxy 127.0.0.1:${bench.upstreamPort}\n}\n`,
  );
  const running = bench.stack.use(
    await startPinned(bench.core, "caddy", ["run", "--config", file, "--adapter", "caddyfile"]),
  );
  return { name: "Caddy", running, url: `http://127.0.0.1:${port}/x/y`, headers: [] };
}

async function script(bench: Bench, name: string, file: string, args: readonly string[]): Promise<Proxy> {
  const port = await freePort();
  const running = bench.stack.use(
    await startPinned(bench.core, process.execPath, [file, String(port), ...args], /listening/),
  );
  return { name, running, url: `http://127.0.0.1:${port}/x/y`, headers: [] };
}

/** Installs the peers from npm into a separate folder, because they are not dependencies of posthouse. */
async function peerFolder(bench: Bench, peer: keyof typeof PEERS): Promise<string> {
  const folder = join(bench.folder, peer);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{"private":true}');
  const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", `${peer}@${PEERS[peer]}`];
  const { status, stderr } = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`npm install ${peer}: ${stderr.slice(0, 500)}`);
  return folder;
}

async function fastGateway(bench: Bench): Promise<Proxy> {
  const folder = await peerFolder(bench, "fast-gateway");
  const file = join(folder, "start.cjs");
  await writeFile(
    file,
    `const gateway = require("fast-gateway");
const [, , port, upstream] = process.argv;
const service = gateway({ routes: [{ prefix: "/x", target: upstream }] });
service.start(Number(port)).then(() => console.log("listening"));\n`,
  );
  return script(bench, `fast-gateway ${PEERS["fast-gateway"]}`, file, [`http://127.0.0.1:${bench.upstreamPort}`]);
}

async function expressGateway(bench: Bench): Promise<Proxy> {
  const folder = await peerFolder(bench, "express-gateway");
  const port = await freePort();
  const config = join(folder, "config");
  await mkdir(join(config, "models"), { recursive: true });
  for (const model of ["applications", "credentials", "users"]) {
    await writeFile(
      join(config, "models", `${model}.json`),
      JSON.stringify({ $id: `http://express-gateway.io/models/${model}.json`, type: "object", properties: {} }),
    );
  }
  await writeFile(join(config, "system.config.yml"), "db: { redis: { emulate: true, namespace: EG } }\nplugins: {}\n");
  await writeFile(
    join(config, "gateway.config.yml"),
    `http: { port: ${port} }
apiEndpoints: { api: { host: "*", paths: "/*" } }
serviceEndpoints: { up: { url: "http://127.0.0.1:${bench.upstreamPort}" } }
policies: [proxy]
pipelines: { main: { apiEndpoints: [api], policies: [{ proxy: [{ action: { serviceEndpoint: up } }] }] } }
`,
  );
  const file = join(folder, "start.cjs");
  await writeFile(
    file,
    `require("express-gateway")().load(${JSON.stringify(config)}).run().then(() => console.log("listening"));\n`,
  );
  const running = bench.stack.use(await startPinned(bench.core, process.execPath, [file], /listening/));
  return {
    name: `express-gateway ${PEERS["express-gateway"]}`,
    running,
    url: `http://127.0.0.1:${port}/x/y`,
    headers: [],
  };
}

/** A whole posthouse on the pinned core, with an open route among sixty, and a route with all policies. */
async function posthouse(bench: Bench): Promise<Proxy[]> {
  // The receiver of spans accepts all of them. 1 % of traces are recorded.
  const collector = bench.stack.adopt(
    createNetServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () =>
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"),
      );
    }),
    (server) => void server.close(),
  );
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const otlp = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const ports = ["--port", "0", "--gateway-port", "0", "--gateway-tls-port", "0", "--agent-port", "0", "--dns", "off"];
  const data = ["--data", join(bench.folder, "data"), "--log-level", "warn"];
  const traces = ["--otlp-url", otlp, "--trace-sample-ratio", "0.01"];
  const args = [join(projectRoot, "bin/posthouse"), "up", ...data, ...ports, ...traces];
  const running = bench.stack.use(await startPinned(bench.core, process.execPath, args, /is up[\s\S]*\n\n/));
  const find = (pattern: RegExp) => pattern.exec(running.output())?.[1] ?? "";
  const api = find(/control API +(\S+)/);
  const gateway = find(/gateway +(http:\S+)/);
  const operator = find(/^ {2}(ph_\S+)$/m);
  const body = { address: "127.0.0.1", port: bench.upstreamPort };
  await call(`${api}/v1/services/orders/instances/one`, { method: "PUT", token: operator, body });
  const others = Array.from({ length: 58 }, (_, index) => ({
    name: `other-${index}`,
    match: { path: { prefix: `/other/${index}` } },
    service: "orders",
  }));
  const config = {
    jwt: [
      {
        name: "idp",
        issuer: bench.jwksUrl,
        audience: ["bench"],
        algorithms: ["ES256", "RS256"],
        jwks: { url: bench.jwksUrl },
      },
    ],
    routes: [
      ...others,
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
  const released = await call(`${api}/v1/config/default/gateway/default/releases`, {
    method: "POST",
    token: operator,
    body: { items: { "gateway.yaml": { format: "yaml", value: JSON.stringify(config) } } },
  });
  if (released.status !== 201) throw new Error(released.text);
  return [
    { name: "posthouse, bare route", running, url: `${gateway}/bare/x/y`, headers: [] },
    {
      name: "posthouse, JWT (ES256) + ACL + limit + metrics + 1 % traces",
      running,
      url: `${gateway}/full/x/y`,
      headers: bearer(bench.tokens.ES256),
    },
  ];
}

/** The proxies that started and answer, and why the others did not. */
export async function startProxies(bench: Bench): Promise<{ proxies: Proxy[]; absent: Record<string, string> }> {
  const { RS256, ES256 } = bench.tokens;
  const plain = join(projectRoot, "bench/plain-proxy.ts");
  const starts: [name: string, start: () => Promise<Proxy | Proxy[]>][] = [
    ["nginx", () => nginx(bench, "nginx", "", "")],
    [
      "nginx with a limit",
      () =>
        nginx(
          bench,
          "nginx, limit and least connections, no JWT",
          "limit_req_zone $http_authorization zone=z:10m rate=1000000r/s;",
          "limit_req zone=z burst=100000 nodelay;",
        ),
    ],
    ["HAProxy", () => haproxy(bench, "HAProxy", "", [])],
    [
      "HAProxy RS256",
      () => haproxy(bench, "HAProxy, JWT (RS256) + ACL + limit", haproxyRules("RS256", RS256.keyFile), bearer(RS256)),
    ],
    [
      "HAProxy ES256",
      () => haproxy(bench, "HAProxy, JWT (ES256) + ACL + limit", haproxyRules("ES256", ES256.keyFile), bearer(ES256)),
    ],
    ["Caddy", () => caddy(bench)],
    ["fast-gateway", () => fastGateway(bench)],
    ["express-gateway", () => expressGateway(bench)],
    [
      "fastify",
      () => script(bench, "fastify + @fastify/http-proxy, defaults", plain, [`http://127.0.0.1:${bench.upstreamPort}`]),
    ],
    ["posthouse", () => posthouse(bench)],
  ];
  const proxies: Proxy[] = [];
  const absent: Record<string, string> = {};
  for (const [name, start] of starts) {
    try {
      const started = [await start()].flat();
      for (const proxy of started) await answers(proxy);
      proxies.push(...started);
    } catch (error) {
      absent[name] = (error instanceof Error ? error.message : String(error)).slice(0, 300);
    }
  }
  return { proxies, absent };
}

async function answers({ url, headers, name }: Proxy): Promise<void> {
  const fields = Object.fromEntries(headers.map((header) => header.split(": ") as [string, string]));
  const began = performance.now();
  for (;;) {
    const status = await fetch(url, { headers: fields }).then(
      async (response) => {
        await response.text();
        return response.status;
      },
      () => 0,
    );
    if (status === 200) return;
    if (performance.now() - began > START_MS) throw new Error(`${name} answers ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
