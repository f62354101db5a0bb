/** One contract, three ways to travel: over a socket, straight into a server in this process, and through another process. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { Client, fetchTransport, injectTransport, type Transport } from "#client";
import { eventually, testHost, testTls, type TestControl, withControl, hangSignal } from "#test/kit";
import { relayed } from "./relayed.ts";

const WAYS: Record<string, (control: TestControl) => Promise<Transport>> = {
  inject: async (control) => injectTransport(control.app),
  relay: async (control) => relayed({ transport: injectTransport(control.app), token: control.token }),
  fetch: async (control) => fetchTransport({ urls: [await control.app.listen({ host: "127.0.0.1", port: 0 })] }),
  "http/2": async (control) =>
    fetchTransport({
      urls: [await control.app.listen({ host: "127.0.0.1", port: 0 })],
      tls: { ca: tls.authority.pem },
    }),
};
const tls = await testTls();

describe.each(Object.entries(WAYS))("by %s", (name, open) => {
  const setUp = async () => {
    const stack = new AsyncDisposableStack();
    const control = stack.use(await withControl(name === "http/2" ? { tls } : {}));
    const transport = stack.use(await open(control));
    const headers = { authorization: `Bearer ${control.token}` };
    return { control, transport, headers, client: new Client(testHost(), { transport, token: control.token }), stack };
  };
  const signal = () => hangSignal();

  test("any status is an answer, with its headers and whole body", async () => {
    const { transport, headers, stack } = await setUp();
    await using _ = stack;
    const live = await transport.request({ method: "GET", path: "/livez", signal: signal() });
    expect([live.status, await live.text()]).toEqual([200, '{"status":"live"}']);
    const lost = await transport.request({ method: "GET", path: "/lost", headers, signal: signal() });
    expect([lost.status, lost.header("Content-Type")]).toEqual([404, "application/problem+json; charset=utf-8"]);
  });

  test("an error of the server keeps its code, status and fields", async () => {
    const { client, stack } = await setUp();
    await using _ = stack;
    const name = { namespace: "default", service: "x", id: "y" };
    await expect(client.registry.deregister(name)).rejects.toMatchObject({
      code: "REGISTRY_INSTANCE_NOT_FOUND",
      status: 404,
    });
    const bad = client.registry.register(name, { address: "h", port: 0 });
    await expect(bad).rejects.toMatchObject({ code: "HTTP_INVALID", extra: { field: "/port" } });
  });

  test("a body that is not JSON arrives byte for byte, in both directions", async () => {
    const { client, stack } = await setUp();
    await using _ = stack;
    const set = { namespace: "default", app: "a", profile: "default" };
    const text = "\u{FEFF}é ✓ \r\n\0";
    await client.config.putKey(set, "k.txt", new TextEncoder().encode(text), { reason: "because & so" });
    expect(await client.config.release(set, 1)).toMatchObject({
      items: { "k.txt": { value: text } },
      reason: "because & so",
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of client.config.exportSets()) chunks.push(chunk);
    const report = await client.config.importZip(Buffer.concat(chunks), { mode: "release", namespace: "other" });
    expect(report.sets).toMatchObject([{ namespace: "other", outcome: "released" }]);
    expect((await client.config.release({ ...set, namespace: "other" }, 1)).items).toEqual({
      "k.txt": { format: "text", value: text },
    });
    await expect(client.config.importZip(Buffer.from("no zip"), {})).rejects.toMatchObject({
      code: "CONFIG_ZIP_INVALID",
    });
  });

  test("leaving a stream ends its producer", async () => {
    const { control, transport, headers, stack } = await setUp();
    await using _ = stack;
    const abort = new AbortController();
    const answer = await transport.request({
      method: "GET",
      path: "/v1/watch/services",
      headers,
      signal: abort.signal,
    });
    for await (const chunk of answer.stream()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    const open = async () => (await control.host.metrics.expose()).text;
    await eventually("no subscriber left", async () =>
      (await open()).includes('posthouse_watch_subscribers{watch="services"} 0'),
    );
  });

  test("aborting ends a watch at once, even a silent one", async () => {
    const { client, stack } = await setUp();
    await using _ = stack;
    const abort = new AbortController();
    let synced = false;
    let frames = 0;
    const reading = (async () => {
      for await (const frame of client.registry.watch({ namespace: "default" }, { signal: abort.signal })) {
        synced ||= frame.event === "synced";
        frames++;
      }
    })();
    await eventually("synced", () => synced);
    const before = frames;
    abort.abort();
    await reading;
    // No heartbeat had to come first.
    expect(frames).toBe(before);
  });
});

test("an address without a listener is CLIENT_UNREACHABLE and names it", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await new Promise((resolve) => server.close(resolve));
  await using transport = fetchTransport({ urls: [url] });
  const call = new Client(testHost(), { transport }).registry.services("default");
  await expect(call).rejects.toMatchObject({
    code: "CLIENT_UNREACHABLE",
    message: expect.stringContaining(url) as string,
  });
});

test("an answer that is not a problem document is CLIENT_BAD_ANSWER, not a crash", async () => {
  const server = createServer((_request, response) => response.writeHead(502).end("<html>bad gateway</html>"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using transport = fetchTransport({ urls: [url] });
  const call = new Client(testHost(), { transport }).registry.services("default");
  await expect(call).rejects.toMatchObject({ code: "CLIENT_BAD_ANSWER" });
  await new Promise((resolve) => server.close(resolve));
});

test("a watch whose connections are cut again and again ends with every change, in order", async () => {
  await using control = await withControl();
  const url = await control.app.listen({ host: "127.0.0.1", port: 0 });
  await using transport = fetchTransport({ urls: [url] });
  const client = new Client(testHost(), { transport, token: control.token });
  const abort = new AbortController();
  const ports = new Map<string, number>();
  let resets = 0;
  let synced = false;
  const reading = (async () => {
    for await (const frame of client.registry.watch({ namespace: "default" }, { signal: abort.signal })) {
      if (frame.event === "reset") resets++;
      if (frame.event === "synced") synced = true;
      for (const { id, port } of frame.data?.instances ?? []) {
        if (frame.event === "delta") expect(port).toBeGreaterThan(ports.get(id) ?? 0);
        ports.set(id, port);
      }
    }
  })();
  await eventually("synced", () => synced);
  for (let i = 1; i <= 200; i++) {
    await control.client.registry.register(
      { namespace: "default", service: "s", id: `i${i % 5}` },
      { address: "h", port: i },
    );
    if (i % 20 === 0) control.app.server.closeAllConnections();
  }
  await eventually(
    "the newest of each",
    () => [...ports.values()].sort((a, b) => a - b).join() === "196,197,198,199,200",
  );
  abort.abort();
  await reading;
  expect(resets).toBe(0);
});
