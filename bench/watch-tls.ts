/**
 * The fan-out of a watch over TLS beside plain HTTP: the processor time of the server per delta, for the same subscribers and changes. The
 * server has one core, the subscribers the other.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { each, type Server, startServer } from "./control-server.ts";
import { cpuMicrosOfTree, need, round, spread } from "./kit.ts";

const SUBSCRIBERS = 1_000;
/** Subscribers that share a connection of HTTP/2, as those of one process do. */
const STREAMS_PER_CONNECTION = 50;
const CHANGES_PER_SECOND = 20;
const SECONDS = 10;
const TURNS = 3;
/** Milliseconds for running work to settle before processor time is read. */
const SETTLE_MS = 2_000;
/** TLS costs at most this multiple of plain, over HTTP/2, which every client of ours uses. */
const RATIO_MAX = 1.5;
const PATH = "/v1/watch/services?service=watched";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Counts the deltas of all subscribers. */
interface Count {
  deltas: number;
}

type Subscribe = (server: Server, count: Count) => Promise<() => void>;

/** Resolves once the stream has sent its first heartbeat, after which deltas follow. */
function counted(stream: NodeJS.ReadableStream, count: Count): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.setEncoding("utf8");
    stream.on("error", reject);
    stream.on("data", (text: string) => {
      if (/^HTTP\/1\.\d [^2]/.test(text)) reject(new Error(`the watch was refused: ${text.slice(0, 200)}`));
      count.deltas += text.split("event: delta").length - 1;
      if (text.includes("event: heartbeat")) resolve();
    });
  });
}

/** HTTP/1.0, so that the answer is not in chunks. */
function headOf(server: Server): string {
  return `GET ${PATH} HTTP/1.0\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${server.token}\r\n\r\n`;
}

const plain: Subscribe = async (server, count) => {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(headOf(server));
  await counted(socket, count);
  return () => socket.destroy();
};

const tls1: Subscribe = async (server, count) => {
  const socket = connectTls({ port: Number(new URL(server.url).port), host: "127.0.0.1", ca: server.ca });
  socket.write(headOf(server));
  await counted(socket, count);
  return () => socket.destroy();
};

function tls2(): Subscribe {
  const sessions: ClientHttp2Session[] = [];
  let subscribers = 0;
  return async (server, count) => {
    const index = Math.floor(subscribers++ / STREAMS_PER_CONNECTION);
    const session = (sessions[index] ??= connectHttp2(server.url, { ca: server.ca }));
    session.on("error", () => {}).setMaxListeners(0);
    const stream = session.request({ ":path": PATH, authorization: `Bearer ${server.token}` });
    await counted(stream, count);
    return () => session.destroy();
  };
}

/** Processor time of the server per delta, in microseconds. */
async function turn(server: Server, subscribe: Subscribe): Promise<number> {
  const count: Count = { deltas: 0 };
  const ends: (() => void)[] = [];
  await each(SUBSCRIBERS, 32, async () => void ends.push(await subscribe(server, count)));
  await sleep(SETTLE_MS);
  count.deltas = 0;
  const before = cpuMicrosOfTree(server.running.pid);
  const began = performance.now();
  for (let change = 1; change <= CHANGES_PER_SECOND * SECONDS; change++) {
    await sleep(began + (change * 1000) / CHANGES_PER_SECOND - performance.now());
    const registration = { address: "10.0.0.1", port: 8080, metadata: { build: String(performance.now()) } };
    await server.call("PUT", "/v1/services/watched/instances/one", registration);
  }
  await sleep(SETTLE_MS);
  const cpu = cpuMicrosOfTree(server.running.pid) - before;
  const due = SUBSCRIBERS * CHANGES_PER_SECOND * SECONDS;
  if (count.deltas !== due) throw new Error(`${count.deltas} deltas arrived instead of ${due}`);
  for (const end of ends) end();
  await sleep(SETTLE_MS);
  return cpu / due;
}

export async function benchWatchTls(): Promise<object> {
  need("taskset");
  const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), "posthouse-bench-"))));
  try {
    await using clear = await startServer(folders[0] as string);
    await using secure = await startServer(folders[1] as string, undefined, ["--tls", "on"]);
    const micros: Record<string, number[]> = { plain: [], "TLS, HTTP/1.1": [], "TLS, HTTP/2": [] };
    for (let index = 0; index < TURNS; index++) {
      micros["plain"]?.push(await turn(clear, plain));
      micros["TLS, HTTP/1.1"]?.push(await turn(secure, tls1));
      micros["TLS, HTTP/2"]?.push(await turn(secure, tls2()));
    }
    const results = Object.fromEntries(Object.entries(micros).map(([name, values]) => [name, spread(values)]));
    const ratioOf = (name: string) => round((results[name]?.median ?? NaN) / (results["plain"]?.median ?? NaN));
    const ratios = { "TLS, HTTP/1.1": ratioOf("TLS, HTTP/1.1"), "TLS, HTTP/2": ratioOf("TLS, HTTP/2") };
    return {
      subscribers: SUBSCRIBERS,
      "streams of one HTTP/2 connection": STREAMS_PER_CONNECTION,
      "changes per second": CHANGES_PER_SECOND,
      "CPU µs of the server per delta": results,
      "times plain": ratios,
      ...(ratios["TLS, HTTP/2"] <= RATIO_MAX ? {} : { failed: `HTTP/2 is above ${RATIO_MAX} × plain` }),
    };
  } finally {
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}
