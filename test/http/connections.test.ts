/** A server has at most its share of the process's connections, and closes idle ones first. */
import { once } from "node:events";
import { connect, type AddressInfo, type Socket } from "node:net";
import { expect, test } from "vitest";
import { createHttpServer } from "#http";
import { eventually, startPosthouse, tempFolder, testHost } from "#test/kit";
import { connectionsMax } from "../../kernel/http/connections.ts";

async function open(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  return sockets;
}

const isOpen = (socket: Socket) => !socket.destroyed && !socket.readableEnded;

test("shares of the descriptors leave the larger part to the gateway, and are never nothing", () => {
  for (const limit of [64, 256, 1024, 65_536]) {
    const all = ["api", "agent", "operations"].map((name) => connectionsMax(name, limit));
    expect(Math.min(...all)).toBeGreaterThanOrEqual(8);
    if (limit >= 256) expect(all.reduce((sum, one) => sum + one)).toBeLessThan(limit / 2);
  }
});

test("at the limit the connection that is idle for longest goes, and one with a request under way stays", async () => {
  const host = { ...testHost(), descriptorsMax: 0 };
  const app = createHttpServer(host, { name: "test" });
  const held = Promise.withResolvers<void>();
  let waiting = 0;
  app.get("/held", async () => {
    waiting++;
    await held.promise;
    return { done: true };
  });
  app.get("/", () => ({ ok: true }));
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  const max = connectionsMax("test", 0);
  const [busy, ...idle] = await open(port, max);
  busy?.write("GET /held HTTP/1.1\r\nhost: x\r\n\r\n");
  await eventually("it is served", () => waiting === 1);
  for (const socket of idle) socket.resume();
  const later = await open(port, 3);
  for (const socket of later) socket.resume();
  await eventually("three idle ones are closed", () => idle.filter(isOpen).length === idle.length - 3);
  expect(later.every(isOpen)).toBe(true);
  expect(busy && isOpen(busy)).toBe(true);

  // All that is left gets busy; then there is nothing to part with.
  const rest = [...idle, ...later].filter(isOpen);
  for (const socket of rest) socket.write("GET /held HTTP/1.1\r\nhost: x\r\n\r\n");
  await eventually("all are served", () => waiting === max);
  const [refused] = await open(port, 1);
  let answer = "";
  refused?.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  await eventually("it is refused", () => answer.includes("HTTP_TOO_MANY_CONNECTIONS"));
  held.resolve();
  await eventually("a new one is served again", async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    return response.ok;
  });
  expect((await host.metrics.expose()).text).toMatch(
    /posthouse_http_connections_limited_total\{[^}]*closed[^}]*\} [3-9]/,
  );
  for (const socket of [busy, ...rest, refused]) socket?.destroy();
  await app.close();
});

test(
  "idle connections to the API and the agent take no descriptor from the gateway",
  { timeout: 300_000 },
  async () => {
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({ data: data.path, ulimit: "-n 256", startMs: 60_000 });
    const sockets: Socket[] = [];
    for (const url of [posthouse.api, posthouse.agent]) {
      for (let index = 0; index < 6; index++) {
        for (const socket of await open(Number(new URL(url).port), 40)) sockets.push(socket.resume());
      }
    }
    for (let index = 0; index < 40; index++) {
      const answer = await fetch(posthouse.gateway, { headers: { connection: "close" } });
      expect(answer.status).toBe(404);
    }
    expect((await fetch(`${posthouse.api}/livez`)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  },
);
