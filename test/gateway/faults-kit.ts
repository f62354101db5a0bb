/** Shared by the tables of faults: short limits, a client that reads bytes, and what must be true after each row. */
import { connect } from "node:net";
import { expect } from "vitest";
import { eventually } from "#test/kit";
import { parseAnswer, type Running } from "./kit.ts";

export const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
export const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
export const upload = (length: number) => `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n`;

/** Sockets that this process holds, both ends of each. */
export const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;

/** Limits short enough to be waited for. */
export const LIMITS = { timeouts: { headersMs: 150, idleMs: 150 }, bodyBytesMax: 1_000_000_000 };

export interface Outcome {
  /** The status that the client receives; 0: nothing. */
  readonly status: number;
  /** Why, in the gateway's own words; undefined: nothing is wrong. A race of the kernel's has two. */
  readonly flag?: string;
  /** The status that is counted, when the client receives another one or nothing. */
  readonly counted?: number;
  /** Whether the client can tell that the answer is whole. */
  readonly whole: boolean;
  readonly body?: string;
}

/** Sends bytes and reads to the end; `ended`: by an end and not by a reset. */
export function client(port: number, bytes: string): Promise<{ text: string; ended: boolean }> {
  return new Promise((resolve) => {
    let text = "";
    let ended = false;
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    const limit = setTimeout(() => socket.destroy(), 3_000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      // Informational responses are not the answer.
      text = text.replace(/^(HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, "");
      if (wholeAnswer(text)) socket.end();
    });
    socket.on("end", () => (ended = true));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(limit);
      resolve({ text, ended });
    });
  });
}

/** Whether a reader of HTTP would take this for a whole answer. */
export function wholeAnswer(text: string): boolean {
  const { headers, body, status } = parseAnswer(text);
  if (status === 0) return false;
  if (headers["transfer-encoding"] === "chunked") return body.endsWith("0\r\n\r\n");
  return headers["content-length"] !== undefined && body.length >= Number(headers["content-length"]);
}

/** Expects log and metric to report the one exchange, and nothing of it to be left. */
export async function expectCounted(running: Running, { flag, counted, status }: Outcome): Promise<void> {
  await eventually("nothing is in flight", () => running.gateway.status().inFlight === 0);
  const line = await eventually("the log line", () =>
    running.host.log.lines.find(({ message }) => message === "request" || message === "request failed"),
  );
  expect(line.fields).toMatchObject({ status: counted ?? status });
  const told = (line.fields as { flag?: string }).flag;
  expect(flag?.split(" or ") ?? [undefined]).toContain(told);
  expect(line.level).toBe(told !== undefined || status >= 500 ? "info" : "debug");
  const { text } = await running.host.metrics.expose();
  expect(text).toContain(`status="${counted ?? status}"} 1`);
  for (const [, name, count] of text.matchAll(/refusals_total\{flag="(\w+)"\} (\d+)/g)) {
    expect([name, count]).toEqual([name, name === told ? "1" : "0"]);
  }
  expect(text).toContain("posthouse_gateway_requests_in_flight 0");
  expect(text).toContain('posthouse_gateway_upstream_connections{state="connecting"} 0');
}
