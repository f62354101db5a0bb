/** One trace id from the client through the gateway to the service, and out to a collector over OTLP/HTTP. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { call, eventually, outlivesRestarts, startPosthouse, startService, tempFolder } from "#test/kit";

interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: ExportedAttribute[];
}

interface ExportedAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

function attributesOf(attributes: readonly ExportedAttribute[]): Record<string, string | number | undefined> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: ExportedSpan[];
  /** Of each process that exported, by its `service.instance.id`. */
  readonly resources: Map<unknown, Record<string, unknown>>;
}

/** Receives what an OpenTelemetry exporter sends as JSON. */
async function collector(): Promise<Collector> {
  const spans: ExportedSpan[] = [];
  const resources: Collector["resources"] = new Map();
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { resource: { attributes: ExportedAttribute[] }; scopeSpans: { spans: ExportedSpan[] }[] }[];
      };
      for (const { resource } of body.resourceSpans) {
        const attributes = attributesOf(resource.attributes);
        resources.set(attributes["service.instance.id"], attributes);
      }
      for (const resource of body.resourceSpans) for (const scope of resource.scopeSpans) spans.push(...scope.spans);
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    resources,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test.for([
  ["one process", []],
  ["two workers", ["--workers", "2"]],
] as const)(
  "client, gateway of %s, upstream call and service share one trace id, parent by parent",
  async ([, more]) => {
    await using otlp = await collector();
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({
      data: data.path,
      args: ["--otlp-url", otlp.url, "--log-level", "debug", ...more],
    });
    await using service = await startService("orders");
    const { token, api, gateway } = posthouse;
    const registration = { address: "127.0.0.1", port: service.port };
    await call(`${api}/v1/services/orders/instances/one`, { method: "PUT", token, body: registration });
    const routes = {
      trustedProxies: ["127.0.0.0/8"],
      routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }],
    };
    const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(routes) } };
    await call(`${api}/v1/config/default/gateway/default/releases`, { method: "POST", token, body: { items } });
    await eventually("the route", async () => (await call(`${gateway}/warm`)).status === 200);

    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const clientSpan = "00f067aa0ba902b7";
    const headers = { traceparent: `00-${traceId}-${clientSpan}-01`, tracestate: "vendor=1" };
    const { json } = await call(`${gateway}/traced`, { headers });
    const spans = await eventually("both spans were exported", () => {
      const mine = otlp.spans.filter((span) => span.traceId === traceId);
      return mine.length >= 2 ? mine : undefined;
    });
    const server = spans.find((span) => span.parentSpanId === clientSpan);
    const client = spans.find((span) => span.parentSpanId === server?.spanId);
    expect(server).toMatchObject({ kind: 2 });
    expect(client).toMatchObject({ kind: 3 });
    expect(json["traceparent"]).toBe(`00-${traceId}-${client?.spanId}-01`);

    // A call of the control API is a trace of its own, in the log under the same id.
    const apiTrace = "0af7651916cd43dd8448eb211c80319c";
    await call(`${api}/v1/services`, { token, headers: { traceparent: `00-${apiTrace}-${clientSpan}-01` } });
    const apiSpan = await eventually("the API's span", () => otlp.spans.find(({ traceId }) => traceId === apiTrace));
    expect(apiSpan.name).toBe("GET /v1/services");
    expect(attributesOf(apiSpan.attributes)).toEqual({
      "http.request.method": "GET",
      "http.route": "/v1/services",
      "http.response.status_code": 200,
      "url.scheme": "http",
      "url.path": "/v1/services",
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(api).port),
      "client.address": "127.0.0.1",
      "network.protocol.version": "1.1",
    });
    for (const [id, resource] of otlp.resources) {
      expect(resource["service.name"]).toBe("posthouse");
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    expect(posthouse.errors()).toContain(`"traceId":"${apiTrace}"`);

    let started = 0;
    await outlivesRestarts(posthouse, async (running) => {
      await eventually("the route", async () => (await call(`${running.gateway}/warm`)).status === 200);
      const next = `${"3".repeat(31)}${++started}`;
      await call(`${running.gateway}/traced`, { headers: { traceparent: `00-${next}-${clientSpan}-01` } });
      await eventually("its spans are exported", () => otlp.spans.some((span) => span.traceId === next));
    });
  },
);

test("an unsampled trace of the caller is not exported, but is propagated", async () => {
  await using otlp = await collector();
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--otlp-url", otlp.url] });
  const traceId = "11111111111111111111111111111111";
  const { headers } = await call(`${posthouse.api}/livez`, {
    headers: { traceparent: `00-${traceId}-2222222222222222-00` },
  });
  expect(headers.get("traceresponse")).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  await posthouse.stop();
  expect(otlp.spans.filter((span) => span.traceId === traceId)).toEqual([]);
});
