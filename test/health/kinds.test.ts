/** Probes over TCP, UDP and gRPC, of programs and of processes: real sockets, real processes, good and bad ones. */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmod, readFile, utimes, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import {
  Server as GrpcServer,
  ServerCredentials,
  status as GrpcStatus,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { expect, test } from "vitest";
import {
  createProbe,
  notMade,
  ProbeRunner,
  createReach,
  OWN_HOST_RULES,
  type ProbeMemory,
  type ProbeResult,
  type ProbeOptions,
  type Target,
  type CheckVerdict,
} from "#health";
import { eventually, tempFolder, testHost } from "#test/kit";
import { probeKindOf } from "../../kernel/health/probes/kinds.ts";
import { AGENT_ONLY_CHECKS, CHECK_KINDS } from "../../registry/contract/checks.ts";
import { authority } from "../gateway/certificates.ts";

function ask(
  target: Target,
  options: Partial<ProbeOptions> & { timeoutMs?: number; memory?: ProbeMemory } = {},
): Promise<ProbeResult> {
  const { timeoutMs = 5_000, memory = {}, ...tools } = options;
  const all = { reach: createReach(OWN_HOST_RULES), execAllow: undefined, alias: () => notMade("nobody"), ...tools };
  const { signal } = new AbortController();
  return createProbe(testHost(), all)({ key: "check", definition: { target, timeoutMs }, signal, memory });
}

interface Listening extends AsyncDisposable {
  readonly port: number;
  readonly sockets: Set<Socket>;
}

async function listen(server: ReturnType<typeof createServer>): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    // A socket with unread bytes does not notice its end.
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const tcp = (port: number, more: object = {}): Target => ({ type: "tcp", host: "127.0.0.1", port, ...more });

async function closedPort(): Promise<number> {
  await using target = await listen(createServer());
  return target.port;
}

test("TCP passes once connected, and a closed port is critical", async () => {
  await using target = await listen(createServer());
  expect((await ask(tcp(target.port))).result).toBe("passing");
  await eventually("the connection is closed", () => target.sockets.size === 0);
  const refused = await ask(tcp(await closedPort()));
  expect(refused.result).toBe("critical");
  expect(refused.output).toContain("ECONNREFUSED");
});

test("TCP sends, and finds the expected text even if it arrives in pieces", async () => {
  await using target = await listen(
    createServer((socket) => {
      socket.on("data", (chunk) => {
        socket.write(`${chunk.toString().toUpperCase()} PO`);
        setImmediate(() => socket.write("NG"));
      });
    }),
  );
  expect((await ask(tcp(target.port, { send: "ping", expect: "PING PONG" }))).result).toBe("passing");
});

test("TCP that answers otherwise, hangs, ends or never stops is critical, and only the beginning is read", async () => {
  await using wrong = await listen(createServer((socket) => void socket.end("-ERR loading")));
  expect(await ask(tcp(wrong.port, { expect: "+OK" }))).toMatchObject({
    result: "critical",
    output: `tcp 127.0.0.1:${wrong.port}: the response does not contain the expected text`,
  });
  await using hangs = await listen(createServer());
  expect((await ask(tcp(hangs.port, { expect: "+OK" }), { timeoutMs: 100 })).output).toContain("within 100 ms");
  let sent = 0;
  await using endless = await listen(
    createServer((socket) => {
      const flood = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(64 * 1024, "x"))) sent += 64 * 1024;
      };
      socket.on("drain", flood);
      flood();
    }),
  );
  expect((await ask(tcp(endless.port, { expect: "+OK" }))).result).toBe("critical");
  await eventually("no connection is left", () => hangs.sockets.size === 0 && endless.sockets.size === 0);
  expect(sent).toBeLessThan(16 * 1024 * 1024);
});

test("TCP over TLS verifies the certificate, by the name that the check says", async () => {
  const root = await authority();
  await using target = await listen(createTlsServer(await root.issue(["orders.example"])));
  const found = (tls: object) => ask(tcp(target.port, { tls }));
  expect((await found({ ca: root.pem })).output).toMatch(/does not match certificate/);
  expect((await found({ ca: root.pem, serverName: "orders.example" })).result).toBe("passing");
  expect((await found({ serverName: "orders.example" })).result).toBe("critical");
  expect((await found({ skipVerify: true })).result).toBe("passing");
  await using plain = await listen(createServer((socket) => void socket.write("no TLS here")));
  expect((await ask(tcp(plain.port, { tls: { skipVerify: true } }))).result).toBe("critical");
});

test("UDP passes in silence unless something is expected, and a refusal is critical", async () => {
  const server = createSocket("udp4");
  server.on("message", (message, from) => {
    if (message.toString() === "ping") server.send("pong", from.port, from.address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const udp = (send: string, expect?: string): Target => ({
    type: "udp",
    host: "127.0.0.1",
    port,
    send,
    ...(expect === undefined ? {} : { expect }),
  });
  expect((await ask(udp("hello"))).output).toContain("not refused");
  expect((await ask(udp("ping"))).output).toContain("responded");
  expect((await ask(udp("ping", "pong"))).result).toBe("passing");
  expect((await ask(udp("hello", "pong"), { timeoutMs: 200 })).result).toBe("critical");
  expect((await ask(udp("ping", "else"), { timeoutMs: 200 })).result).toBe("critical");
  server.close();
  await once(server, "close");
  const refused = await ask(udp("hello"));
  expect(refused).toMatchObject({ result: "critical" });
  expect(refused.output).toContain("ECONNREFUSED");
});

interface Asked {
  readonly service: string;
}

interface Health extends AsyncDisposable {
  readonly port: number;
  readonly watchers: Set<ServerWritableStream<Asked, number>>;
  status: number;
}

/** A health service as other languages have it, on grpc-js's server. */
async function grpcHealth(credentials = ServerCredentials.createInsecure()): Promise<Health> {
  const server = new GrpcServer();
  const health = { port: 0, status: 1, watchers: new Set<ServerWritableStream<Asked, number>>() };
  const known = new Set(["", "orders"]);
  const codec = {
    requestSerialize: ({ service }: Asked) => Buffer.from(service),
    requestDeserialize: (bytes: Buffer): Asked => ({ service: bytes.subarray(2).toString() }),
    responseSerialize: (status: number) => Buffer.from(status === 0 ? [] : [8, status]),
    responseDeserialize: () => 0,
  };
  const path = "/grpc.health.v1.Health";
  server.addService(
    {
      Check: { ...codec, path: `${path}/Check`, requestStream: false, responseStream: false },
      Watch: { ...codec, path: `${path}/Watch`, requestStream: false, responseStream: true },
    },
    {
      Check: (call: { request: Asked }, done: (error: object | null, status?: number) => void) => {
        if (known.has(call.request.service)) done(null, health.status);
        else done({ code: GrpcStatus.NOT_FOUND, details: "unknown service" });
      },
      Watch: (call: ServerWritableStream<Asked, number>) => {
        health.watchers.add(call);
        call.on("cancelled", () => health.watchers.delete(call));
        call.write(health.status);
      },
    },
  );
  health.port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, port) => (error ? reject(error) : resolve(port))),
  );
  return Object.assign(health, { [Symbol.asyncDispose]: async () => server.forceShutdown() });
}

const grpc = (port: number, more: object = {}): Target => ({
  type: "grpc",
  host: "127.0.0.1",
  port,
  service: "",
  watch: false,
  ...more,
});

test("gRPC asks a real health service, for the server and for a service of it", async () => {
  await using health = await grpcHealth();
  expect((await ask(grpc(health.port))).output).toBe(`grpc 127.0.0.1:${health.port}: SERVING`);
  expect((await ask(grpc(health.port, { service: "orders" }))).result).toBe("passing");
  expect((await ask(grpc(health.port, { service: "nobody" }))).output).toContain("gRPC status 5");
  health.status = 2;
  expect(await ask(grpc(health.port))).toMatchObject({
    result: "critical",
    output: expect.stringContaining("NOT_SERVING"),
  });
});

test("gRPC over TLS verifies the certificate", async () => {
  const root = await authority();
  const { key, cert } = await root.issue(["orders.example"]);
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) };
  await using health = await grpcHealth(ServerCredentials.createSsl(null, [pair]));
  const found = (tls: object) => ask(grpc(health.port, { tls })).then(({ result }) => result);
  expect(await found({ ca: root.pem, serverName: "orders.example" })).toBe("passing");
  expect(await found({ ca: root.pem, serverName: "else.example" })).toBe("critical");
  expect(await found({ serverName: "orders.example" })).toBe("critical");
  expect(await found({ skipVerify: true })).toBe("passing");
});

test("gRPC targets that are closed, hang or speak something else are critical", async () => {
  expect((await ask(grpc(await closedPort()))).result).toBe("critical");
  await using hangs = await listen(createServer());
  expect((await ask(grpc(hangs.port), { timeoutMs: 200 })).output).toContain("within 200 ms");
  await using garbage = await listen(createServer((socket) => void socket.end("HTTP/1.1 200 OK\r\n\r\n")));
  expect((await ask(grpc(garbage.port), { timeoutMs: 2_000 })).result).toBe("critical");
  await eventually("no connection is left", () => hangs.sockets.size === 0 && garbage.sockets.size === 0);
});

test("a gRPC watch delivers a change at once, stays open, and is critical when it is cut", async () => {
  await using health = await grpcHealth();
  const told: CheckVerdict[] = [];
  const host = testHost();
  const tools = { reach: createReach(OWN_HOST_RULES), execAllow: undefined, alias: () => notMade("nobody") };
  await using runner = new ProbeRunner(host, {
    probe: createProbe(host, tools),
    onVerdict: (_key, verdict) => told.push(verdict),
  });
  // Far apart, so that a verdict comes from the watch and not from a probe.
  const intervalMs = 600_000;
  runner.set("web", {
    target: grpc(health.port, { watch: true }),
    intervalMs,
    timeoutMs: 5_000,
    initialDelayMs: 0,
    warnAfterMs: undefined,
    damping: undefined,
    rise: 1,
    fall: 1,
  });
  await eventually("it passes", () => told.at(-1)?.status === "passing");
  for (const watcher of health.watchers) watcher.write(2);
  await eventually("it is critical", () => told.at(-1)?.status === "critical");
  for (const watcher of health.watchers) watcher.write(1);
  await eventually("it passes again", () => told.at(-1)?.status === "passing");
  for (const watcher of health.watchers) watcher.end();
  await eventually("it is critical again", () => told.at(-1)?.output.includes("the watch ended") === true);
});

const exec = (program: string, ...args: string[]): Target => ({ type: "exec", program, args });

async function script(folder: string, text: string): Promise<string> {
  const path = join(folder, `check-${Math.abs(text.length)}`);
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o700);
  return path;
}

test("a program's exit says how it is: 0 passes, 1 warns, all else is critical", async () => {
  await using folder = await tempFolder();
  const program = await script(folder.path, 'echo "was given $1"; exit "$1"');
  const execAllow = new Set([program]);
  for (const [code, result] of [
    ["0", "passing"],
    ["1", "warning"],
    ["2", "critical"],
    ["42", "critical"],
  ] as const) {
    const found = await ask(exec(program, code), { execAllow });
    expect(found).toEqual({ result, output: `exec ${program}: exit ${code} was given ${code}` });
  }
});

test("a program is given its arguments as they are, and no token of ours", async () => {
  await using folder = await tempFolder();
  const program = await script(folder.path, 'printf "%s|" "$@"; env | grep -c SECRET_OF_TEST; exit 0');
  process.env["SECRET_OF_TEST"] = "x";
  try {
    const found = await ask(exec(program, "$(id)", "a b", ";"), { execAllow: new Set([program]) });
    expect(found.output).toBe(`exec ${program}: exit 0 $(id)|a b|;|0`);
  } finally {
    delete process.env["SECRET_OF_TEST"];
  }
});

test("a program that is not allowed does not run, on a server none does, and a missing one is critical", async () => {
  await using folder = await tempFolder();
  const mark = join(folder.path, "ran");
  const program = await script(folder.path, `touch ${mark}`);
  expect((await ask(exec(program), { execAllow: new Set(["/bin/other"]) })).output).toContain("agentExecAllow");
  expect((await ask(exec(program))).output).toContain("agent");
  await expect(readFile(mark)).rejects.toThrow();
  const missing = join(folder.path, "missing");
  expect((await ask(exec(missing), { execAllow: new Set([missing]) })).output).toContain("ENOENT");
});

test("a program that takes too long is ended with its children, and endless output is cut short", async () => {
  await using folder = await tempFolder();
  const children = join(folder.path, "children");
  const program = await script(folder.path, `sleep 1000 & echo $! > ${children}; wait`);
  const execAllow = new Set([program]);
  const asked = ask(exec(program), { execAllow, timeoutMs: 1_000 });
  expect((await asked).output).toContain("within 1000 ms");
  const child = Number(await readFile(children, "utf8"));
  await eventually("its child is gone", () => {
    try {
      process.kill(child, 0);
      return false;
    } catch {
      return true;
    }
  });
  const talks = await script(folder.path, "head -c 10000000 /dev/zero | tr '\\0' x; exit 2");
  const found = await ask(exec(talks), { execAllow: new Set([talks]), timeoutMs: 20_000 });
  expect(found.result).toBe("critical");
  expect(found.output.length).toBeLessThanOrEqual(512);
});

test("a process check passes while the process is alive, by its id or by its file", async () => {
  await using folder = await tempFolder();
  const pidFile = join(folder.path, "pid");
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  await once(child, "spawn");
  const pid = child.pid as number;
  const local = { execAllow: new Set<string>() };
  try {
    await writeFile(pidFile, `${pid}\n`);
    expect((await ask({ type: "process", pid }, local)).result).toBe("passing");
    expect((await ask({ type: "process", pidFile }, local)).result).toBe("passing");
    // A file older than the process that has its number by now.
    await utimes(pidFile, 1_000_000, 1_000_000);
    expect((await ask({ type: "process", pidFile }, local)).output).toContain("another process");
    const memory = { seen: { pid, started: "1" } };
    expect((await ask({ type: "process", pid }, { ...local, memory })).output).toContain("another process");
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  expect((await ask({ type: "process", pid }, local)).output).toContain("is not alive");
  await writeFile(pidFile, "not a number");
  expect((await ask({ type: "process", pidFile }, local)).output).toContain("cannot read a process id");
  expect((await ask({ type: "process", pidFile: join(folder.path, "none") }, local)).result).toBe("critical");
});

test("a process check does not tell whether a file exists or may be read", async () => {
  await using folder = await tempFolder();
  const at = (name: string) => join(folder.path, name);
  await writeFile(at("text"), "not a number");
  await writeFile(at("large"), "1".repeat(100_000));
  await writeFile(at("closed"), "not a number", { mode: 0o000 });
  const outputs = ["none", "text", "large", "closed", "text/below", "."].map(async (name) => {
    const { result, output } = await ask({ type: "process", pidFile: at(name) }, { execAllow: new Set<string>() });
    return [result, output.replaceAll(at(name), "PATH")].join(" ");
  });
  expect(new Set(await Promise.all(outputs)).size).toBe(1);
});

test("each type of check but ttl has a probe, and a type is for agents only exactly when its probe is", () => {
  const types = Object.keys(CHECK_KINDS).filter((type) => type !== "ttl") as Target["type"][];
  const hostOnly = types.filter((type) => {
    const kind = probeKindOf({ type } as Target);
    expect([type, kind]).toEqual([type, expect.anything()]);
    return kind?.isHostOnly === true;
  });
  expect(hostOnly).toEqual([...AGENT_ONLY_CHECKS]);
});
