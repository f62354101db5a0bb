/**
 * Requests at a fixed rate, whether or not the last one was answered. Latency counts from the time at which a request was due, so a stalled
 * proxy is charged for all requests that were due meanwhile. A closed loop would hide them. A separate program: URL, requests per second,
 * seconds, connections, then headers. It prints one line of JSON.
 */
import { connect, type Socket } from "node:net";
import { percentiles } from "./kit.ts";

const [, , target = "", rateText = "", secondsText = "", connectionsText = "", ...headers] = process.argv;
const url = new URL(target);
const rate = Number(rateText);
const total = Math.floor(rate * Number(secondsText));
/** Milliseconds after the last due request within which late answers still count. */
const GRACE_MS = 5_000;

const request = [`GET ${url.pathname} HTTP/1.1`, `host: ${url.host}`, ...headers, "", ""].join("\r\n");
const latenciesMs: number[] = [];
const idle: Socket[] = [];
const due: number[] = [];
let failed = 0;
let sent = 0;

function open(): Socket {
  const socket = connect(Number(url.port), url.hostname);
  socket.setNoDelay(true);
  let text = "";
  let askedMs = 0;
  const send = (atMs: number) => {
    askedMs = atMs;
    socket.write(request);
  };
  senders.set(socket, send);
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1];
    const whole = length === undefined ? text.endsWith("0\r\n\r\n") : text.length >= end + 4 + Number(length);
    if (!whole) return;
    if (!text.startsWith("HTTP/1.1 200")) failed += 1;
    text = "";
    latenciesMs.push(performance.now() - askedMs);
    const next = due.shift();
    if (next === undefined) idle.push(socket);
    else send(next);
  });
  socket.on("error", () => {});
  socket.on("close", () => (failed += 1));
  return socket;
}

const senders = new Map<Socket, (atMs: number) => void>();
const sockets = Array.from({ length: Number(connectionsText) }, open);
await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
idle.push(...sockets);
const began = performance.now();
await new Promise<void>((resolve) => {
  const tick = () => {
    const now = performance.now();
    const wanted = Math.min(total, Math.floor(((now - began) / 1000) * rate));
    for (; sent < wanted; sent++) {
      const atMs = began + (sent / rate) * 1000;
      const socket = idle.shift();
      if (socket) senders.get(socket)?.(atMs);
      else due.push(atMs);
    }
    const late = now - began > (total / rate) * 1000 + GRACE_MS;
    if (latenciesMs.length >= total || late) resolve();
    else setImmediate(tick);
  };
  tick();
});
const answered = latenciesMs.length;
process.stdout.write(
  `${JSON.stringify({ answered, failed: failed + total - answered, ...percentiles(latenciesMs) })}\n`,
);
process.exit(0);
