/** Watches and calls over the network do not take each other's connections. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { fetchTransport } from "#client";
import { hangSignal } from "#test/kit";

/** A server whose `/call` answers, whose `/watch` stays open and whose `/hang` says nothing. */
async function startServer() {
  const server = createServer((request, response) => {
    if (request.url === "/watch") response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    else if (request.url === "/call") response.end("answered");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stack = new AsyncDisposableStack();
  stack.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const transport = stack.use(fetchTransport({ urls: [`http://127.0.0.1:${port}`] }));
  return { transport, stack };
}

test("calls are answered however many watches are open", async () => {
  const { transport, stack } = await startServer();
  await using _ = stack;
  const open = new AbortController();
  const headers = { accept: "text/event-stream" };
  await Promise.all(
    Array.from({ length: 200 }, () =>
      transport.request({ method: "GET", path: "/watch", headers, signal: open.signal }),
    ),
  );
  const answer = await transport.request({ method: "GET", path: "/call", signal: hangSignal() });
  expect(await answer.text()).toBe("answered");
  open.abort();
});

test("a call that waits for a connection ends with its signal", async () => {
  const { transport, stack } = await startServer();
  await using _ = stack;
  const hanging = new AbortController();
  const calls = Array.from({ length: 64 }, () =>
    transport.request({ method: "GET", path: "/hang", signal: hanging.signal }).catch(() => {}),
  );
  const signal = AbortSignal.timeout(100);
  await expect(transport.request({ method: "GET", path: "/call", signal })).rejects.toMatchObject({
    name: "TimeoutError",
  });
  hanging.abort();
  await Promise.all(calls);
});
