/** Export against collectors that are absent, silent, busy or broken: what is lost is counted and said, and nothing waits. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { Host } from "#base";
import { startTelemetry } from "../../server/telemetry.ts";
import { recordingLog, testHost } from "../kit/host.ts";
import { otlpReceiver } from "../kit/otlp.ts";
import { eventually, freePort } from "#test/kit";

/** Spans that may be unsent at a time, as in server/telemetry.ts. */
const UNSENT_MAX = 8_192;

async function collector(answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function start(host: Host, otlpUrl: string, sampleRatio = 1) {
  const given = { otlpUrl, otlpProtocol: "http/protobuf", sampleRatio, slowMs: 60_000, serviceName: "test" } as const;
  return startTelemetry(host, given);
}

async function dropped({ metrics }: Host): Promise<Record<string, number>> {
  const { text } = await metrics.expose();
  const found = text.matchAll(/^posthouse_spans_dropped_total\{reason="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...found].map(([, reason, value]) => [reason as string, Number(value)]));
}

test.for<[string, RequestListener | undefined]>([
  ["is absent", undefined],
  ["answers 429", (_request, response) => response.writeHead(429).end()],
  ["refuses", (_request, response) => response.writeHead(400).end("no")],
  ["does not speak HTTP", (request) => void request.socket.end("garbage\r\n\r\n")],
])("spans are counted as lost, with one warning, if the collector %s", async ([, answer]) => {
  await using broken = answer && (await collector(answer));
  const url = broken?.url ?? `http://127.0.0.1:${await freePort()}`;
  const log = recordingLog();
  const host = { ...testHost(), log };
  await using telemetry = await start(host, url);
  for (const lost of [1, 2]) {
    telemetry.tracer.start("GET", { kind: "server" }).end();
    await eventually(`${lost} are lost`, async () => (await dropped(host))["failed"] === lost);
  }
  const warnings = log.lines.filter(({ level }) => level === "warn");
  expect(warnings).toHaveLength(1);
  expect(warnings[0]?.message).toContain("spans are lost: the collector does not take them");
  expect(warnings[0]?.fields).toEqual({ url: `${url}/v1/traces` });
});

test("a silent collector: spans beyond the bound are dropped at once, and a stop does not wait for long", async () => {
  await using silent = await collector(() => {});
  const host = testHost();
  const telemetry = await start(host, silent.url);
  for (let i = 0; i < UNSENT_MAX + 1_000; i++) telemetry.tracer.start("GET", { kind: "server" }).end();
  expect(await dropped(host)).toMatchObject({ full: 1_000 });
  const before = host.clock.monotonic();
  await telemetry[Symbol.asyncDispose]();
  expect(host.clock.monotonic() - before).toBeLessThan(10_000);
});

test("a failed request reaches the collector, though nothing is sampled; its attributes and status are complete", async () => {
  await using otlp = await otlpReceiver();
  const host = testHost();
  const telemetry = await start(host, otlp.httpUrl, 0);
  telemetry.tracer.start("fine", { kind: "server" }).end();
  const failed = telemetry.tracer.start("POST", { kind: "server" });
  failed.fail("status 502");
  failed.later(() => failed.set("http.response.status_code", 502));
  failed.end();
  await telemetry[Symbol.asyncDispose]();
  expect(otlp.spans).toEqual([
    {
      traceId: failed.context.traceId,
      spanId: failed.context.spanId,
      parentSpanId: "",
      name: "POST",
      kind: 2,
      attributes: { "http.response.status_code": 502 },
    },
  ]);
  expect(await dropped(host)).toEqual({ full: 0, failed: 0 });
});
