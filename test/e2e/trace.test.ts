/** One trace id from the client through the gateway to the service, and out to a collector over each protocol of OTLP. */
import { expect, test } from "vitest";
import { otlpReceiver } from "../kit/otlp.ts";
import { call, eventually, outlivesRestarts, startPosthouse, startService, tempFolder } from "#test/kit";

test.for([
  ["one process", [], "grpc", "grpc"],
  ["two workers", ["--workers", "2"], "http/protobuf", "application/x-protobuf"],
] as const)(
  "client, gateway of %s, upstream call and service share one trace id, parent by parent, over %3$s",
  async ([, more, protocol, format]) => {
    await using otlp = await otlpReceiver();
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({
      data: data.path,
      args: [
        "--otlp-url",
        protocol === "grpc" ? otlp.grpcUrl : otlp.httpUrl,
        "--otlp-protocol",
        protocol,
        "--log-level",
        "debug",
        ...more,
      ],
    });
    await using service = await startService("orders");
    const { token, api, gateway } = posthouse;
    const registration = { address: "127.0.0.1", port: service.port };
    await call(`${api}/v1/services/orders/instances/one`, { method: "PUT", token, body: registration });
    const routes = {
      trustedProxies: ["127.0.0.0/8"],
      routes: [
        { name: "orders", match: { path: { prefix: "/" } }, service: "orders" },
        { name: "broken", match: { path: { exact: "/broken" } }, respond: { status: 503 } },
      ],
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

    // A failed request is exported, although its caller does not sample it.
    const failedTrace = "5".repeat(32);
    await call(`${gateway}/broken`, { headers: { traceparent: `00-${failedTrace}-${clientSpan}-00` } });
    const failed = await eventually("the failed span", () => otlp.spans.find((span) => span.traceId === failedTrace));
    expect(failed.attributes).toMatchObject({ "http.response.status_code": 503, "posthouse.route": "broken" });

    // A call of the control API is a trace of its own, in the log under the same id.
    const apiTrace = "0af7651916cd43dd8448eb211c80319c";
    await call(`${api}/v1/services`, { token, headers: { traceparent: `00-${apiTrace}-${clientSpan}-01` } });
    const apiSpan = await eventually("the API's span", () => otlp.spans.find(({ traceId }) => traceId === apiTrace));
    expect(apiSpan.name).toBe("GET /v1/services");
    expect(apiSpan.attributes).toEqual({
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
    expect([...otlp.formats]).toEqual([format]);
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
  await using otlp = await otlpReceiver();
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({
    data: data.path,
    args: ["--otlp-url", otlp.httpUrl, "--otlp-protocol", "http/json"],
  });
  const traceId = "11111111111111111111111111111111";
  const { headers } = await call(`${posthouse.api}/livez`, {
    headers: { traceparent: `00-${traceId}-2222222222222222-00` },
  });
  expect(headers.get("traceresponse")).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  const sampled = "33333333333333333333333333333333";
  await call(`${posthouse.api}/livez`, { headers: { traceparent: `00-${sampled}-2222222222222222-01` } });
  await posthouse.stop();
  expect(otlp.spans.some((span) => span.traceId === sampled)).toBe(true);
  expect([...otlp.formats]).toEqual(["application/json"]);
  expect(otlp.spans.filter((span) => span.traceId === traceId)).toEqual([]);
});
