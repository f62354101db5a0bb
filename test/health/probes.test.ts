/** One probe against real sockets: good, slow, hostile and absent targets. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import {
  createProbe,
  notMade,
  PROBE_OUTPUT_CHARS_MAX,
  createReach,
  OWN_HOST_RULES,
  type HttpTarget,
  type ProbeResult,
  type ReachRules,
  type Target as ProbeTarget,
} from "#health";
import { OwnListeners } from "#base/address-class";
import { eventually, tempFolder, testHost } from "#test/kit";

interface Target extends AsyncDisposable {
  readonly port: number;
  readonly sockets: Set<Socket>;
  readonly connections: () => number;
}

async function listen(server: Server): Promise<Target> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on("connection", (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    connections: () => connections,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

const httpTarget = (listener: RequestListener) => listen(createHttpServer(listener));
const tcpTarget = (onSocket: (socket: Socket) => void) =>
  listen(
    createTcpServer((socket) => {
      socket.resume();
      onSocket(socket);
    }),
  );

interface Options {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly rules?: Partial<ReachRules>;
}

function ask(target: ProbeTarget, { timeoutMs = 2_000, signal, rules = {} }: Options = {}): Promise<ProbeResult> {
  const tools = {
    reach: createReach({ ...OWN_HOST_RULES, ...rules }),
    execAllow: undefined,
    alias: () => notMade("nobody"),
  };
  return createProbe(
    testHost(),
    tools,
  )({
    key: "check",
    definition: { target, timeoutMs },
    signal: signal ?? new AbortController().signal,
    memory: {},
  });
}

function probe(port: number, options: Partial<HttpTarget> & Options & { path?: string } = {}) {
  const { path = "/health", timeoutMs = 2_000, ...rest } = options;
  return ask({ type: "http", url: `http://127.0.0.1:${port}${path}`, method: "GET", ...rest }, { timeoutMs });
}

test.for([
  [200, "passing"],
  [204, "passing"],
  [301, "critical"],
  [404, "critical"],
  [429, "warning"],
  [500, "critical"],
  [503, "critical"],
] as const)("status %i is %s", async ([status, result]) => {
  await using target = await httpTarget((_request, response) => void response.writeHead(status).end());
  const found = await probe(target.port);
  expect(found.result).toBe(result);
  expect(found.output).toContain(String(status));
});

test("a probe sends its method, path and query, and its output keeps the query to itself", async () => {
  let seen = "";
  await using target = await httpTarget((request, response) => {
    seen = `${request.method} ${request.url}`;
    response.writeHead(500).end();
  });
  const found = await probe(target.port, { method: "HEAD", path: "/live?token=secret" });
  expect(seen).toBe("HEAD /live?token=secret");
  expect(found.output).toBe(`HEAD http://127.0.0.1:${target.port}/live: 500 Internal Server Error`);
});

test("a redirect is not followed, and the output says so", async () => {
  let requests = 0;
  await using target = await httpTarget((_request, response) => {
    requests++;
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  const found = await probe(target.port);
  expect(found).toMatchObject({ result: "critical" });
  expect(found.output).toContain("redirects are not followed");
  expect(requests).toBe(1);
});

test("each probe opens a connection of its own and leaves none open", async () => {
  await using target = await httpTarget((_request, response) => void response.end("ok"));
  for (let i = 0; i < 3; i++) expect((await probe(target.port)).result).toBe("passing");
  expect(target.connections()).toBe(3);
  await eventually("no connection is left", () => target.sockets.size === 0);
});

test("a target that accepts and then says nothing is critical at the deadline, and is let go", async () => {
  await using target = await tcpTarget(() => {});
  const found = await probe(target.port, { timeoutMs: 100 });
  expect(found.result).toBe("critical");
  expect(found.output).toContain("within 100 ms");
  await eventually("no connection is left", () => target.sockets.size === 0);
});

test("a target whose body stalls after a good head is critical: a client would hang, too", async () => {
  await using target = await httpTarget((_request, response) => void response.writeHead(200).write("almost"));
  expect((await probe(target.port, { timeoutMs: 100 })).result).toBe("critical");
  await eventually("no connection is left", () => target.sockets.size === 0);
});

test("a target that swallows packets is given up at the deadline, and its socket with it", async () => {
  // Other files of this process may have left connections that are kept alive.
  const before = tcpResources();
  // A stopped process with a full backlog: the kernel drops what would open another connection.
  const script = `const s = require("node:net").createServer(); s.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const fillers: Socket[] = [];
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    child.kill("SIGSTOP");
    const connecting = await eventually("the backlog is full", async () => {
      const filler = connect(Number(line), "127.0.0.1").on("error", () => {});
      fillers.push(filler);
      return !(await Promise.race([once(filler, "connect").then(() => true), setTimeout(100, false)]));
    });
    expect(connecting).toBe(true);
    for (const filler of fillers) filler.destroy();
    const found = await probe(Number(line), { timeoutMs: 200 });
    expect(found.result).toBe("critical");
    expect(found.output).toContain("within 200 ms");
    await eventually("no connection is being opened", () => tcpResources() <= before);
  } finally {
    for (const filler of fillers) filler.destroy();
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test("an answer without end costs a few kilobytes", async () => {
  let sent = 0;
  await using target = await httpTarget((_request, response) => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    const write = () => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length;
    };
    response.on("drain", write);
    write();
  });
  const found = await probe(target.port);
  expect(found.result).toBe("passing");
  await eventually("no connection is left", () => target.sockets.size === 0);
  expect(sent).toBeLessThan(16 * 1024 * 1024);
});

test("garbage instead of HTTP is critical, and its output is one short printable line", async () => {
  await using target = await tcpTarget((socket) => void socket.write("\u0000\u001b[31mnot http\r\n\r\n".repeat(1000)));
  const found = await probe(target.port);
  expect(found.result).toBe("critical");
  expect(found.output).not.toMatch(/\p{Cc}/u);
});

test("the output has the status of a failing answer, and nothing of its body or its headers", async () => {
  await using target = await httpTarget(
    (_request, response) =>
      void response.writeHead(503, { "x-note": "secret" }).end(`database\n\u001b[31mdown ${"x".repeat(9000)}`),
  );
  const wanted = [{}, { expectStatus: [200] }, { expectStatus: [503], bodyContains: "up" }];
  for (const more of [...wanted, { expectStatus: [503], bodyPattern: "up*" }]) {
    const found = await probe(target.port, more);
    expect(found.result).toBe("critical");
    expect(found.output).toContain("503 Service Unavailable");
    expect(found.output).not.toMatch(/database|down|xxx|secret/);
    expect(found.output.length).toBeLessThanOrEqual(PROBE_OUTPUT_CHARS_MAX);
  }
  await using moved = await httpTarget((_request, response) => {
    response.writeHead(302, { location: "http://10.0.0.1/?token=secret" }).end();
  });
  expect((await probe(moved.port)).output).not.toContain("secret");
});

test("headers without end are refused, not collected", async () => {
  await using target = await tcpTarget((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    const flood = () => {
      while (!socket.destroyed && socket.write(`x: ${"y".repeat(1000)}\r\n`));
    };
    socket.on("drain", flood);
    flood();
  });
  expect((await probe(target.port)).result).toBe("critical");
});

test("a closed port is critical and says so", async () => {
  const { port } = await (async () => {
    await using target = await tcpTarget(() => {});
    return { port: target.port };
  })();
  const found = await probe(port);
  expect(found.result).toBe("critical");
  expect(found.output).toContain("ECONNREFUSED");
});

test("a probe that is cut says nothing about its target", async () => {
  await using target = await tcpTarget(() => {});
  const cut = new AbortController();
  const url = `http://127.0.0.1:${target.port}/`;
  const found = ask({ type: "http", url, method: "GET" }, { timeoutMs: 5_000, signal: cut.signal });
  await eventually("the probe is connected", () => target.sockets.size === 1);
  cut.abort(new Error("stopping"));
  expect((await found).result).toBeUndefined();
});

test("a certificate that does not verify is critical; with its authority trusted it passes", async () => {
  await using folder = await tempFolder();
  const [key, cert] = [join(folder.path, "key.pem"), join(folder.path, "cert.pem")];
  execFileSync(
    "openssl",
    (
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost ` +
      `-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${key} -out ${cert}`
    ).split(" "),
    { stdio: "ignore" },
  );
  const pem = await readFile(cert, "utf8");
  await using target = await listen(
    createHttpsServer({ key: await readFile(key), cert: pem }, (_request, response) => void response.end("ok")),
  );
  const https: HttpTarget = { type: "http", url: `https://127.0.0.1:${target.port}/`, method: "GET" };
  const untrusted = await ask(https);
  expect(untrusted.result).toBe("critical");
  expect(untrusted.output).toMatch(/self-signed certificate/);
  expect(await ask({ ...https, tls: { ca: pem } })).toMatchObject({ result: "passing" });
  expect(await ask({ ...https, tls: { skipVerify: true } })).toMatchObject({ result: "passing" });
  const named: HttpTarget = { ...https, tls: { ca: pem, serverName: "elsewhere" } };
  expect((await ask(named)).output).toMatch(/does not match certificate/);
  expect(await ask({ ...named, tls: { ca: pem, serverName: "localhost" } })).toMatchObject({ result: "passing" });
});

test("statuses are those that were asked for, and nothing else passes", async () => {
  await using target = await httpTarget((_request, response) => void response.writeHead(404).end());
  expect((await probe(target.port, { expectStatus: [200, "400-404"] })).result).toBe("passing");
  expect((await probe(target.port, { expectStatus: ["200-299"] })).result).toBe("critical");
});

test("a request carries its method, headers and body, and the answer's body is looked at", async () => {
  await using target = await httpTarget((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () =>
      response.end(
        `${request.method} ${String(request.headers["x-key"])} ${request.headers.host} ${Buffer.concat(chunks).toString()}`,
      ),
    );
  });
  const asked = { method: "POST", headers: { "X-Key": "k", Host: "orders.example" }, body: "ping" };
  const found = (more: Partial<HttpTarget>) => probe(target.port, { ...asked, ...more }).then(({ result }) => result);
  expect(await found({ bodyContains: "POST k orders.example ping" })).toBe("passing");
  expect(await found({ bodyContains: "pong" })).toBe("critical");
  expect(await found({ bodyPattern: "POST * ping" })).toBe("passing");
  expect(await found({ bodyPattern: "POST" })).toBe("critical");
});

const bare = (host: string, port: number): ProbeTarget[] => [
  { type: "http", url: `http://${host.includes(":") ? `[${host}]` : host}:${port}/`, method: "GET" },
  { type: "tcp", host, port },
  { type: "udp", host, port, send: "x" },
  { type: "grpc", host, port, service: "", watch: false },
];

test("a network that is not to be probed is refused, by address and by name, and nothing is connected", async () => {
  await using target = await httpTarget((_request, response) => void response.end("secret"));
  const rules = { refuse: ["127.0.0.0/8", "::1/128"] };
  for (const host of ["127.0.0.1", "localhost", "::ffff:127.0.0.1"]) {
    for (const kind of bare(host, target.port)) {
      const found = await ask(kind, { rules });
      expect(found.result, `${kind.type} ${host}`).toBe("critical");
      expect(found.output, `${kind.type} ${host}`).toContain("probeRefuse");
    }
  }
  expect(target.connections()).toBe(0);
});

test("loopback is refused in every spelling, also where a name leads to it", async () => {
  await using target = await httpTarget((_request, response) => void response.end("secret"));
  // The last is a name with a dot at its end, which only the resolver knows to be this machine.
  const hosts = ["127.0.0.1", "127.8.7.6", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "0", "::1", "::", "localhost"];
  for (const host of [...hosts, "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "localhost.", "a.localhost"]) {
    for (const kind of bare(host, target.port)) {
      const found = await ask(kind, { rules: { loopback: false } });
      expect(found.result, `${kind.type} ${host}`).toBe("critical");
      expect(found.output, `${kind.type} ${host}`).toContain("probeLoopback");
    }
  }
  expect(target.connections()).toBe(0);
});

test("a name is judged by the address that it resolves to", async () => {
  const resolved = (rules: Partial<ReachRules>, port = 80) =>
    createReach({ ...OWN_HOST_RULES, ...rules }).resolve("localhost", port);
  expect((await resolved({})).address).toMatch(/^127\.0\.0\.1$|^::1$/);
  await expect(resolved({ loopback: false })).rejects.toMatchObject({ code: "HEALTH_TARGET_REFUSED" });
  const own = new OwnListeners(() => []);
  own.add({ host: "127.0.0.1", port: 8500 });
  await expect(resolved({ own }, 8500)).rejects.toThrow("listener of this process");
  expect(await resolved({ own }, 8501)).toBeDefined();
});

test("listeners of the process are refused even where loopback is allowed", async () => {
  await using target = await httpTarget((_request, response) => void response.end("secret"));
  const own = new OwnListeners(() => []);
  own.add({ host: "127.0.0.1", port: target.port });
  for (const host of ["127.0.0.1", "localhost", "0.0.0.0", "::ffff:7f00:1"]) {
    for (const kind of bare(host, target.port)) {
      expect((await ask(kind, { rules: { own } })).output, `${kind.type} ${host}`).toContain(
        "listener of this process",
      );
    }
  }
  expect(target.connections()).toBe(0);
});

test("a cloud's metadata is refused wherever it lies", () => {
  const reach = createReach({ ...OWN_HOST_RULES, metadata: false });
  const refused = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "::ffff:a83f:8110", "fd00:ec2::254"];
  for (const host of refused) {
    for (const kind of bare(host, 80)) expect(reach.refusal(kind)?.code, host).toBe("HEALTH_TARGET_REFUSED");
  }
  for (const kind of bare("100.100.100.201", 80)) expect(reach.refusal(kind)).toBeUndefined();
});

test("without probeWrites a check sends GET and HEAD without a body, and a gRPC health call, and nothing else", async () => {
  let requests = 0;
  await using target = await httpTarget((_request, response) => void (requests++, response.end("ok")));
  const at = { host: "127.0.0.1", port: target.port };
  const url = `http://127.0.0.1:${target.port}/`;
  const refused: ProbeTarget[] = [
    ...["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"].map(
      (method) => ({ type: "http", url, method }) as const,
    ),
    { type: "http", url, method: "GET", body: "x" },
    { type: "tcp", ...at, send: "POST / HTTP/1.1\r\nhost: x\r\n\r\n" },
    { type: "udp", ...at, send: "x" },
  ];
  for (const kind of refused) {
    expect((await ask(kind, { rules: { writes: false } })).output, JSON.stringify(kind)).toContain("probeWrites");
  }
  expect(requests).toBe(0);
  for (const method of ["GET", "HEAD"]) {
    expect((await ask({ type: "http", url, method }, { rules: { writes: false } })).result).toBe("passing");
  }
  expect((await ask({ type: "tcp", ...at }, { rules: { writes: false } })).result).toBe("passing");
});

function tcpResources(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
}
