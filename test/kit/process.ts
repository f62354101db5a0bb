/** Real processes: posthouse itself, services, and whatever else a test starts; all of them end with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { EVENTUALLY_MS_MAX, eventually, hangSignal, within } from "./temp.ts";

export const projectRoot = join(import.meta.dirname, "..", "..");

export interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  /** All that it printed so far, output and errors apart. */
  readonly output: () => string;
  readonly errors: () => string;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  kill(signal?: NodeJS.Signals): void;
}

export interface ProgramOptions {
  readonly environment?: Record<string, string>;
  readonly cwd?: string;
  /** Limits of the process, as bash's ulimit takes them, such as `-S -f 2048`. */
  readonly ulimit?: string;
}

/** Starts a TypeScript program of the project on this very Node. */
export function startProgram(file: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const { ulimit } = options;
  const command = [process.execPath, join(projectRoot, file), ...args];
  if (ulimit !== undefined) {
    return startCommand("bash", ["-c", `ulimit ${ulimit}; exec "$0" "$@"`, ...command], options);
  }
  return startCommand(command[0] as string, command.slice(1), options);
}

/** Programs that run. A test that ends without disposing of them, as one that timed out, leaves none behind. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export function startCommand(command: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const child = spawn(command, args, {
    cwd: options.cwd ?? projectRoot,
    env: { ...cleanEnvironment(), ...options.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on("exit", (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
    child.on("error", () => resolve({ code: -1, signal: null }));
  });
  return {
    child,
    output: () => output,
    errors: () => errors,
    exited,
    kill: (signal = "SIGKILL") => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Without settings of the developer's environment. */
export function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("POSTHOUSE_") && !name.startsWith("OTEL_") && !name.startsWith("VITEST"),
  );
  return Object.fromEntries(kept) as Record<string, string>;
}

export interface PosthouseOptions extends ProgramOptions {
  readonly data: string;
  readonly args?: readonly string[];
  readonly startMs?: number;
}

export interface Posthouse extends Program {
  readonly api: string;
  readonly gateway: string;
  readonly gatewayTls: string;
  readonly agent: string;
  /** Of the agent's local API: what it made in its data folder; undefined without an agent. */
  readonly agentToken: string | undefined;
  /** `127.0.0.1:PORT`. */
  readonly dns: string;
  /** Of a gateway without a control API beside it. */
  readonly operations: string;
  /** Printed at the first start only. */
  readonly token: string | undefined;
  /** Milliseconds from the start of the process until it said that it was up. */
  readonly upMs: number;
  /** How it was started. */
  readonly options: PosthouseOptions;
  /** Asks it to stop, and waits until it has. */
  stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Stops it by SIGTERM, which must end well, and starts it again on the same data folder and the same ports. */
export async function restartBySigterm(posthouse: Posthouse): Promise<Posthouse> {
  posthouse.kill("SIGTERM");
  const { code, signal } = await posthouse.exited;
  if (code !== 0) throw new Error(`posthouse ended with ${signal ?? code}: ${posthouse.errors()}${posthouse.output()}`);
  return startAgain(posthouse);
}

/** Kills it in the middle of whatever it does, and starts it again on the same data folder and the same ports. */
export async function restartByKill(posthouse: Posthouse): Promise<Posthouse> {
  posthouse.kill("SIGKILL");
  await posthouse.exited;
  return startAgain(posthouse);
}

/** Milliseconds between two starts on a port that is in use. */
const PORT_MS = 250;

/**
 * Starts it on the ports that it had. While it was down, the system may have given one of them to a connection of another
 * test, which ends soon. A port that a process of ours still holds does not become free, so the start fails in the end.
 */
async function startAgain(posthouse: Posthouse): Promise<Posthouse> {
  const begun = performance.now();
  for (;;) {
    try {
      return await startPosthouse(again(posthouse));
    } catch (error) {
      const isTaken = error instanceof Error && error.message.includes("SERVER_PORT_IN_USE");
      if (!isTaken || performance.now() - begun > EVENTUALLY_MS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, PORT_MS));
    }
  }
}

/** As it was started, on the ports that it got. */
function again({ options, ...addresses }: Posthouse): PosthouseOptions {
  const args = [...(options.args ?? [])];
  for (const [flag, address] of [
    ["--port", addresses.api],
    ["--gateway-port", addresses.gateway],
    ["--gateway-tls-port", addresses.gatewayTls],
    ["--agent-port", addresses.agent],
    ["--dns-port", addresses.dns],
    ["--operations-port", addresses.operations],
  ] as const) {
    const port = /:(\d+)$/.exec(address)?.[1];
    if (port !== undefined && !args.includes(flag)) args.push(flag, port);
  }
  return { ...options, args };
}

/** A posthouse on free ports, up and announced. */
export async function startPosthouse(options: PosthouseOptions): Promise<Posthouse> {
  const { data, args = [], startMs = EVENTUALLY_MS_MAX, ...rest } = options;
  const ports = [
    "--operations-port",
    "0",
    "--port",
    "0",
    "--gateway-port",
    "0",
    "--gateway-tls-port",
    "0",
    "--agent-port",
    "0",
    "--dns-port",
    "0",
  ];
  const given = new Set(args);
  const free = ports.filter((flag, index) => !given.has(index % 2 === 0 ? flag : (ports[index - 1] as string)));
  const begun = performance.now();
  const program = startProgram("bin/posthouse", ["up", "--data", data, "--log-level", "warn", ...free, ...args], rest);
  const address = (name: string) => new RegExp(`^  ${name} +(\\S+)$`, "m").exec(program.output())?.[1] ?? "";
  const up = () => /is up[\s\S]*\n\n/.test(program.output());
  await Promise.race([within(startMs, "posthouse is up", up).catch(() => {}), program.exited]);
  if (!up() || program.child.exitCode !== null) {
    await program[Symbol.asyncDispose]();
    throw new Error(`posthouse did not start: ${program.errors()}${program.output()}`);
  }
  return {
    ...program,
    options,
    api: address("control API"),
    gateway: address("gateway"),
    gatewayTls: address("gateway, TLS"),
    agent: address("agent"),
    agentToken: (await readFile(join(data, "agent", "token"), "utf8").catch(() => undefined))?.trim(),
    dns: address("DNS"),
    operations: address("operations"),
    token: /^ {2}(ph_\S+)$/m.exec(program.output())?.[1],
    upMs: performance.now() - begun,
    async stop() {
      program.kill("SIGINT");
      return program.exited;
    },
  };
}

export interface Service extends Program {
  readonly port: number;
}

/** The demo's service as a process of its own. */
export async function startService(name: string, port = 0): Promise<Service> {
  const program = startProgram("demo/service.ts", ["--name", name, "--port", String(port)]);
  const line = await eventually("the service listens", () => /on (\d+)\n/.exec(program.output())?.[1]);
  return { ...program, port: Number(line) };
}

/** A port that was free a moment ago, for programs that need one as an argument. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
  readonly headers: Headers;
}

/** One call, whatever comes back. */
export async function call(
  url: string,
  options: { method?: string; token?: string | undefined; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const answer = await fetch(url, {
    method: options.method ?? "GET",
    headers: {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: hangSignal(),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    text,
    json: text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {},
    headers: answer.headers,
  };
}
