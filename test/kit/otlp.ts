/** A receiver of OTLP traces: over HTTP as protobuf or JSON, and over gRPC, on two ports of loopback. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface OtlpReceiver extends AsyncDisposable {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  readonly spans: ExportedSpan[];
  /** Attributes of each process that exported, by its `service.instance.id`. */
  readonly resources: Map<unknown, Readonly<Record<string, unknown>>>;
  /** The content types of requests over HTTP, and `grpc`. */
  readonly formats: Set<string>;
}

/** An id: bytes in protobuf, and hexadecimal digits in JSON. */
type WireId = Buffer | string | undefined;
interface WireAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
interface WireSpan {
  readonly traceId: WireId;
  readonly spanId: WireId;
  readonly parentSpanId?: WireId;
  readonly name: string;
  readonly kind: number;
  readonly attributes?: readonly WireAttribute[];
}
interface WireRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

const definition = loadPackageDefinition(
  loadSync(join(import.meta.dirname, "otlp-trace.proto"), { longs: Number }),
) as unknown as {
  opentelemetry: { proto: { collector: { trace: { v1: { TraceService: { service: ServiceDefinition } } } } } };
};
const { service } = definition.opentelemetry.proto.collector.trace.v1.TraceService;

export async function otlpReceiver(): Promise<OtlpReceiver> {
  const spans: ExportedSpan[] = [];
  const resources = new Map<unknown, Record<string, unknown>>();
  const formats = new Set<string>();
  const receive = (format: string, { resourceSpans }: WireRequest) => {
    formats.add(format);
    for (const { resource, scopeSpans } of resourceSpans) {
      const attributes = attributesOf(resource.attributes);
      resources.set(attributes["service.instance.id"], attributes);
      for (const scope of scopeSpans) spans.push(...scope.spans.map(spanOf));
    }
  };
  const http = createServer((request, response) => {
    void (async () => {
      const body = await httpBody(request);
      const format = request.headers["content-type"] ?? "";
      const isJson = format.startsWith("application/json");
      receive(format, (isJson ? JSON.parse(body.toString()) : decode(body)) as WireRequest);
      response.writeHead(200, { "content-type": format }).end(isJson ? "{}" : "");
    })();
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const grpc = new Server();
  const implementation: UntypedServiceImplementation = {
    Export: (call: { request: WireRequest }, done: (error: null, response: object) => void) => {
      receive("grpc", call.request);
      done(null, {});
    },
  };
  grpc.addService(service, implementation);
  const grpcPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
  return {
    httpUrl: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    spans,
    resources,
    formats,
    async [Symbol.asyncDispose]() {
      grpc.forceShutdown();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

async function httpBody(request: IncomingMessage): Promise<Buffer> {
  const body = await buffer(request);
  return request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
}

function decode(body: Buffer): unknown {
  const { requestDeserialize } = service["Export"] as ServiceDefinition[string];
  return requestDeserialize(body);
}

function spanOf({ traceId, spanId, parentSpanId, name, kind, attributes = [] }: WireSpan): ExportedSpan {
  const ids = { traceId: hex(traceId), spanId: hex(spanId), parentSpanId: hex(parentSpanId) };
  return { ...ids, name, kind, attributes: attributesOf(attributes) };
}

function hex(id: WireId): string {
  return typeof id === "string" ? id : (id?.toString("hex") ?? "");
}

function attributesOf(attributes: readonly WireAttribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
