/**
 * Converts any error to an RFC 9457 problem. An error of posthouse keeps its code; an error of Fastify or Node gets one; any other error
 * is a defect, which is logged in full and hidden from the caller.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { AppError, defineErrors, messageOf, type Log, own, schemaProblems } from "#base";

export const HttpErrors = defineErrors("HTTP", {
  INVALID: { status: 400, title: "Request not valid" },
  MALFORMED: { status: 400, title: "Body not readable" },
  TLS_ONLY: { status: 400, title: "This port accepts TLS only" },
  TOKEN_MISSING: { status: 401, title: "Token missing" },
  TOKEN_INVALID: { status: 401, title: "Token not valid" },
  TOKEN_EXPIRED: { status: 401, title: "Token expired" },
  SESSION_INVALID: { status: 401, title: "Session not valid" },
  SESSION_EXPIRED: { status: 401, title: "Session expired" },
  HOST_REFUSED: { status: 403, title: "Host header of another host" },
  CROSS_ORIGIN: { status: 403, title: "Request of another origin" },
  CSRF_INVALID: { status: 403, title: "CSRF token missing or not valid" },
  FORBIDDEN: { status: 403, title: "Not allowed" },
  NOT_FOUND: { status: 404, title: "No such path" },
  METHOD_NOT_ALLOWED: { status: 405, title: "Method not allowed" },
  TIMEOUT: { status: 408, title: "Request took too long" },
  BODY_TOO_LARGE: { status: 413, title: "Body too large" },
  BODY_TOO_COMPLEX: { status: 400, title: "Body has too many values or levels" },
  MEDIA_TYPE: { status: 415, title: "Content type not supported" },
  TOO_MANY_BAD_TOKENS: { status: 429, title: "Too many bad tokens" },
  HEADERS_TOO_LARGE: { status: 431, title: "Headers too large" },
  INTERNAL: { status: 500, title: "Internal error" },
  UNAVAILABLE: { status: 503, title: "Not ready" },
  TOO_MANY_CONNECTIONS: { status: 503, title: "Too many connections" },
});

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance?: string;
  readonly code: string;
  readonly [extra: string]: unknown;
}

export const PROBLEM_TYPE = "application/problem+json";
/** The page of every error code, which each server of posthouse has. */
export const ERRORS_PATH = "/docs/errors";

/** The `type` of a problem: the place of its code in a page of the server that responds. */
export function typeOfProblem(code: string): string {
  return `${ERRORS_PATH}#${code}`;
}

/** The problem document of an error; `instance` is the path of the request. */
export function problemOf(error: AppError, instance?: string): Problem {
  return {
    ...error.extra,
    type: typeOfProblem(error.code),
    title: error.title,
    status: error.status,
    detail: error.message,
    ...(instance === undefined ? {} : { instance }),
    code: error.code,
  };
}

/** Fastify's codes for mistakes of the caller, and the errors that they become. */
const FASTIFY_CODES: Record<string, keyof typeof HttpErrors> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "MALFORMED",
  FST_ERR_CTP_EMPTY_JSON_BODY: "MALFORMED",
  FST_ERR_CTP_INVALID_JSON_BODY: "MALFORMED",
  FST_ERR_BAD_URL: "INVALID",
};

/** Converts anything thrown to an AppError. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const fastify = error as Partial<FastifyError>;
  if (fastify.validation) {
    const part = fastify.validationContext ?? "request";
    const [first] = schemaProblems(fastify.validation);
    const field = first?.pointer ?? "";
    return HttpErrors.INVALID(`${part}${field} ${first?.message ?? "is not valid"}.`, {
      extra: { field, part },
    });
  }
  if (fastify.code === "FST_ERR_CTP_INVALID_MEDIA_TYPE" || fastify.code === "FST_ERR_CTP_INVALID_TYPE") {
    return HttpErrors.MEDIA_TYPE("This path does not accept the body's content type.", { cause: error });
  }
  const mapped = fastify.code === undefined ? undefined : own(FASTIFY_CODES, fastify.code);
  if (mapped) return HttpErrors[mapped](messageOf(error), { cause: error });
  if (error instanceof SyntaxError && fastify.statusCode === 400) {
    return HttpErrors.MALFORMED(`The body is not JSON: ${error.message}.`, { cause: error });
  }
  if (fastify.statusCode !== undefined && fastify.statusCode >= 400 && fastify.statusCode < 500) {
    return HttpErrors.INVALID(messageOf(error), { cause: error });
  }
  return HttpErrors.INTERNAL("An internal error occurred. The server's log has the details under this trace id.", {
    cause: error,
  });
}

/** The AppError of anything thrown for this request. For a content type, with the ones that the path accepts. */
export function errorOfRequest(request: FastifyRequest, reply: FastifyReply, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const error = toAppError(thrown);
  return HttpErrors.MEDIA_TYPE.is(error) ? mediaTypeError(request, reply) : error;
}

/** Names the content type that was sent and the accepted ones; `Accept` has them for programs. */
function mediaTypeError(request: FastifyRequest, reply: FastifyReply): AppError {
  const { consumes = ["application/json"] } = (request.routeOptions.schema ?? {}) as { consumes?: readonly string[] };
  const [type = ""] = consumes;
  const sent = request.headers["content-type"];
  void reply.header("accept", consumes.join(", "));
  return HttpErrors.MEDIA_TYPE(
    `${sent === undefined ? "The body has no content type" : `"${sent}" is not a content type that this path accepts`}. ` +
      `Send it as ${consumes.join(" or ")}, with the header "content-type: ${type}" (curl: -H 'content-type: ${type}').`,
  );
}

const refusals = new WeakMap<FastifyRequest, AppError>();

/** The error with which a request was refused as not authenticated or not allowed. */
export function refusalOf(request: FastifyRequest): AppError | undefined {
  return refusals.get(request);
}

/** Keeps the error for the audit, when it refuses the caller. For responses that are not problems, such as pages. */
export function noteRefusal(request: FastifyRequest, error: AppError): void {
  if (error.status === 401 || error.status === 403) refusals.set(request, error);
}

/** Responds with the problem of an error, and logs it when it is a defect. */
export function sendProblem(log: Log, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = errorOfRequest(request, reply, thrown);
  if (error.status >= 500) {
    log.error({ err: error.cause ?? error, code: error.code, method: request.method, url: request.url }, error.message);
  }
  noteRefusal(request, error);
  if (error.status === 401) void reply.header("www-authenticate", `Bearer realm="posthouse"`);
  if (error.status === 503) void reply.header("retry-after", "1");
  const { retryAfterSeconds } = error.extra;
  if (typeof retryAfterSeconds === "number") void reply.header("retry-after", String(retryAfterSeconds));
  return reply
    .code(error.status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(problemOf(error, request.url.split("?", 1)[0])));
}
