/**
 * A Fastify instance with strict limits and bodies, problems for errors, a span and a metric for every request, and a log line with the
 * trace id. Roles register their routes on it.
 */
import { randomUUID } from "node:crypto";
import type { Http2SecureServer } from "node:http2";
import Fastify, {
  type FastifyHttp2SecureOptions,
  type FastifyInstance,
  type FastifyRequest,
  type FastifyServerOptions,
} from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Ajv, type Options as AjvOptions, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import {
  formatTraceparent,
  LATENCY_BUCKETS_SECONDS,
  own,
  readIncomingTrace,
  type CounterChild,
  type HistogramChild,
  type Host,
  type Span,
  type SpanContext,
} from "#base";
import { BODY_BYTES_DEFAULT, readJsonBodies } from "./body.ts";
import { limitConnections } from "./connections.ts";
import { isHeadTooLarge } from "./http2-limits.ts";
import { knownPaths } from "./known-paths.ts";
import { HttpErrors, refusalOf, sendProblem } from "./problem.ts";
import { rawAnswer } from "./raw-answer.ts";
import { setSpanAttributes, spanName } from "./span-attributes.ts";
import type { AuditSink } from "./audit-hook.ts";
import { type ListenerTls, serveTls, tlsFailures, tlsServerOptions } from "./tls.ts";

/** Longest time for a whole request to arrive, and for its head; slower clients are cut. Milliseconds. */
export const REQUEST_MS_MAX = 30_000;
export const HEADERS_MS_MAX = 10_000;
/** Bytes of a request's head. */
const HEADER_BYTES_MAX = 16 * 1024;
/** Idle time on a kept-alive connection; above the minute that load balancers in front use. Milliseconds. */
export const KEEP_ALIVE_MS = 65_000;

declare module "fastify" {
  interface FastifyRequest {
    span: Span | null;
  }
}

export interface HttpServerOptions {
  /** Names the server in metrics, spans and logs: `api`, `agent`. */
  readonly name: string;
  /** Absent: plain HTTP/1.1. */
  readonly tls?: ListenerTls | undefined;
  /** Takes refused TLS connections. Requests have a hook of their own. */
  readonly audit?: AuditSink | undefined;
}

/** Plugins take this, so that schemas type their handlers. */
export type TypedApp = ReturnType<typeof typed>;
const typed = (app: FastifyInstance) => app.withTypeProvider<TypeBoxTypeProvider>();

export function createHttpServer(host: Host, { name, tls, audit }: HttpServerOptions): FastifyInstance {
  const log = host.log.child({ server: name });
  const app = bareServer(tls);
  readJsonBodies(app);
  // Only some routes accept text as a body. For the others, the client forgot the content type.
  app.removeContentTypeParser("text/plain");
  strictValidation(app);
  // The schemas give replies their types only. The body is plain JSON, so no field is silently dropped.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => sendProblem(log, request, reply, error));
  const paths = knownPaths(app);
  app.setNotFoundHandler((request, reply) => {
    const methods = paths.methodsOf(request.url);
    if (methods.length > 0) void reply.header("allow", methods.join(", "));
    const error =
      methods.length > 0
        ? HttpErrors.METHOD_NOT_ALLOWED(`${request.url} takes ${methods.join(", ")}, not ${request.method}.`)
        : HttpErrors.NOT_FOUND(
            `Path not found: ${request.method} ${request.url}. GET / lists what this server provides.`,
          );
    return sendProblem(log, request, reply, error);
  });
  observe(host, app, name);
  // A process without TLS says so with a zero.
  const failures = tlsFailures(host, name);
  const { requestMsMax } = TLS_LIMITS;
  // Before anything listens for connections.
  const forgetSource = tls && serveTls(host, app.server as never, tls, { requestMsMax, failures, audit });
  if (forgetSource) app.addHook("onClose", async () => forgetSource());
  const cut = limitConnections(host, app, name, tls !== undefined);
  cutters.set(app, cut);
  return app;
}

const TLS_LIMITS = { headerBytesMax: HEADER_BYTES_MAX, requestMsMax: REQUEST_MS_MAX } as const;
const cutters = new WeakMap<FastifyInstance, () => void>();

/** Cuts all connections of a server. */
export function cutConnections(app: FastifyInstance): void {
  cutters.get(app)?.();
}

function bareServer(tls: ListenerTls | undefined): FastifyInstance {
  const options: FastifyServerOptions = {
    logger: false,
    bodyLimit: BODY_BYTES_DEFAULT,
    requestTimeout: REQUEST_MS_MAX,
    handlerTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: "idle",
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 256 },
    genReqId: () => randomUUID(),
    clientErrorHandler: (error, socket) => {
      // Not HTTP at all, or too slow: send one line and close. A problem document would need a request.
      if (error.code === "ECONNRESET" || !socket.writable) {
        socket.destroy();
        return;
      }
      const row = error.code === undefined ? undefined : own(CLIENT_ERRORS, error.code);
      socket.end(rawAnswer(row ?? "MALFORMED"));
    },
  };
  const http1 = { headersTimeout: HEADERS_MS_MAX, connectionsCheckingInterval: 5_000, maxHeaderSize: HEADER_BYTES_MAX };
  if (!tls) return Fastify({ ...options, http: http1 });
  const https = {
    ...tlsServerOptions(tls, TLS_LIMITS),
    http1Options: { ...http1, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_MS_MAX },
  };
  const secure = { ...options, http2: true, http2SessionTimeout: KEEP_ALIVE_MS, https };
  const app = Fastify(secure as unknown as FastifyHttp2SecureOptions<Http2SecureServer>);
  // HTTP/2 names the host in a field of its own.
  app.addHook("onRequest", ({ raw }, _reply, done) => {
    raw.headers.host ??= raw.headers[":authority"];
    done(isHeadTooLarge(raw, HEADER_BYTES_MAX) ? HttpErrors.HEADERS_TOO_LARGE(HEAD_TOO_LARGE) : undefined);
  });
  // Handlers use what both versions have in common.
  return app as unknown as FastifyInstance;
}

const HEAD_TOO_LARGE = `The head of a request may have ${HEADER_BYTES_MAX} bytes. Send fewer or shorter headers.`;

/** Codes of Node for a request that cannot be read. */
const CLIENT_ERRORS: Readonly<Record<string, "TIMEOUT" | "HEADERS_TOO_LARGE">> = {
  ERR_HTTP_REQUEST_TIMEOUT: "TIMEOUT",
  HPE_HEADER_OVERFLOW: "HEADERS_TOO_LARGE",
};

/** Bodies are strict: no unknown field, no type coercion. Queries and paths are text, so their numbers are converted. */
function strictValidation(app: FastifyInstance): void {
  const base: AjvOptions = {
    useDefaults: true,
    removeAdditional: false,
    allErrors: false,
    // A problem can then name the allowed values.
    verbose: true,
    strict: false,
    discriminator: true,
    // Tests compile every schema; the meta-schema would cost tens of milliseconds at the first request.
    validateSchema: false,
  };
  const make = (options: AjvOptions) => addFormats.default(new Ajv(options));
  const body = make({ ...base, coerceTypes: false });
  const text = make({ ...base, coerceTypes: "array" });
  app.setValidatorCompiler(({ schema, httpPart }) => whenAsked(httpPart === "body" ? body : text, schema as object));
}

/** Compiles a validator at its first request. Compiling all of them would be nine tenths of a start's cost. */
function whenAsked(ajv: Ajv, schema: object): ValidateFunction {
  let compiled: ValidateFunction | undefined;
  const lazy = ((data: unknown) => {
    compiled ??= ajv.compile(schema);
    const isValid = compiled(data);
    lazy.errors = compiled.errors ?? null;
    return isValid;
  }) as ValidateFunction;
  return lazy;
}

/** The context of the request's span, for logs and for calls made on its behalf. */
export function spanContextOf(request: FastifyRequest): SpanContext | undefined {
  return request.span?.context;
}

function observe(host: Host, app: FastifyInstance, server: string): void {
  const requests = host.metrics.counter({
    name: "posthouse_http_requests_total",
    help: "Requests answered, by server, route template, method and status.",
    labelNames: ["server", "route", "method", "status"],
  });
  const seconds = host.metrics.histogram({
    name: "posthouse_http_request_duration_seconds",
    help: "Time from the head of a request to the end of its response, without watches.",
    labelNames: ["server", "route", "method"],
    buckets: LATENCY_BUCKETS_SECONDS,
  });
  const log = host.log.child({ server });
  app.decorateRequest("span", null);
  // Routes, methods and statuses are few, so their counters are kept. Looking them up by labels would cost more than counting.
  const countersOf = new Map<string, { count: CounterChild; time: HistogramChild }>();
  const counters = (route: string, method: string, status: number) => {
    const key = `${status} ${method} ${route}`;
    let found = countersOf.get(key);
    if (!found) {
      found = {
        count: requests.labels(server, route, method, String(status)),
        time: seconds.labels(server, route, method),
      };
      countersOf.set(key, found);
    }
    return found;
  };
  // Hooks with a callback, because an async hook costs every request a promise and a turn of the microtask queue.
  app.addHook("onRequest", (request, reply, done) => {
    const incoming = readIncomingTrace((name) => valuesOf(own(request.headers, name)));
    const parent = incoming?.parent;
    const resample = incoming?.isDecided === false;
    request.span = host.tracer.start(spanName(request), { kind: "server", parent, resample });
    if (request.span.recording) setSpanAttributes(request.span, request);
    void reply.header("traceresponse", formatTraceparent(request.span.context));
    done();
  });
  const finished = (request: FastifyRequest, status: number, elapsedMs: number) => {
    const route = request.routeOptions.url ?? "none";
    const method = request.is404 ? "any" : request.method;
    const { count, time } = counters(route, method, status);
    count.inc();
    time.observe(elapsedMs / 1000);
    const { span } = request;
    span?.set("http.response.status_code", status);
    if (status >= 500) {
      span?.set("error.type", refusalOf(request)?.code ?? String(status));
      span?.fail(`status ${status}`);
    }
    span?.end();
    log.debug(
      {
        traceId: span?.context.traceId,
        spanId: span?.context.spanId,
        method: request.method,
        route,
        status,
        elapsedMs,
      },
      "request",
    );
  };
  app.addHook("onResponse", (request, reply, done) => {
    finished(request, reply.statusCode, reply.elapsedTime);
    done();
  });
}

function valuesOf(value: string | string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}
