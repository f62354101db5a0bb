/**
 * A thousand releases under load: no request fails, one whole release answers each request, and long-lived streams
 * continue.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { Pool } from "undici";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { instance, runGateway, upstream } from "./kit.ts";

const CHANGES = 1_000;

/** Release `n`: its number in two headers that must agree, and a changing number of other routes around it. */
function release(n: number): object {
  const others = Array.from({ length: n % 20 }, (_, i) => ({
    name: `other-${i}`,
    match: { path: i % 2 === 0 ? { prefix: `/other-${n}-${i}` } : { template: `/{x}/other-${i}` } },
    service: "orders",
  }));
  const route = {
    name: "orders",
    match: { path: { prefix: "/orders" } },
    service: "orders",
    requestHeaders: { set: { "x-release": String(n) } },
    responseHeaders: { set: { "x-release": String(n) } },
  };
  const events = { name: "events", match: { path: { exact: "/events" } }, service: "orders" };
  return { routes: [...others, route, events] };
}

test(
  "a thousand route changes under load lose no request, and leave an event stream alone",
  { timeout: 300_000 },
  async () => {
    let events: { write(text: string): void; end(): void } | undefined;
    await using service = await upstream((request, response) => {
      if (request.url !== "/events") {
        response.end(request.headers["x-release"]);
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      events = response;
    });
    await using running = await runGateway(release(0), [instance(service.port)]);
    const stream = await new Promise<IncomingMessage>((resolve) => httpRequest(`${running.url}/events`, resolve).end());
    let heard = "";
    stream.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    const pool = new Pool(running.url, { connections: 16 });
    const failures: string[] = [];
    const seen = new Set<string>();
    const load = { done: false };
    let requests = 0;
    const client = async () => {
      while (!load.done) {
        const { statusCode, headers, body } = await pool.request({ path: `/orders/${requests++}`, method: "GET" });
        const text = await body.text();
        seen.add(text);
        if (statusCode !== 200 || headers["x-release"] !== text)
          failures.push(`${statusCode} ${text} ${String(headers["x-release"])}`);
      }
    };
    const change = async () => {
      for (let n = 1; n <= CHANGES; n++) {
        running.plane.release(release(n));
        if (n % 10 === 0) events?.write(`data: ${n}\n\n`);
        // One turn of the event loop, so that most releases are in force for a while.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await eventually("the last release is in force", () => seen.has(String(CHANGES)));
      load.done = true;
    };
    await Promise.all([...Array.from({ length: 16 }, client), change()]);
    await pool.close();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(CHANGES);
    expect(seen.size).toBeGreaterThan(100);
    events?.end();
    await eventually("the stream ended whole", () => stream.complete);
    expect(heard.match(/data: /g)).toHaveLength(CHANGES / 10);
  },
);
