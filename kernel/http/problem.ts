/**
 * Any error, to an RFC 9457 problem. What we meant to say keeps its code; what Fastify or Node found gets one of ours;
 * anything else is a defect, told to the log in full and to the caller not at all.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { AppError, defineErrors, messageOf, type Log, own, schemaProblems } from "#base";

export const HttpErrors = defineErrors("HTTP", {
  INVALID: { status: 400, title: "Request not valid" },
  MALFORMED: { status: 400, title: "Body not readable" },
  TOKEN_MISSING: { status: 401, title: "Token missing" },
  TOKEN_INVALID: { status: 401, title: "Token not valid" },
  TOKEN_EXPIRED: { status: 401, title: "Token expired" },
  FORBIDDEN: { status: 403, title: "Not allowed" },
  NOT_FOUND: { status: 404, title: "No such path" },
  METHOD_NOT_ALLOWED: { status: 405, title: "Method not allowed" },
  TIMEOUT: { status: 408, title: "Request took too long" },
  BODY_TOO_LARGE: { status: 413, title: "Body too large" },
  BODY_TOO_COMPLEX: { status: 400, title: "Body has too many values or levels" },
  MEDIA_TYPE: { status: 415, title: "Content type not understood" },
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

/** The problem document of an error; `instance` is the path asked for. The server that answers has a page at `type`. */
export function problemOf(error: AppError, instance?: string): Problem {
  return {
    ...error.extra,
    type: `/errors/${error.code}`,
    title: error.title,
    status: error.status,
    detail: error.message,
    ...(instance === undefined ? {} : { instance }),
    code: error.code,
  };
}

/** Codes of Fastify whose meaning is the caller's fault, and what we call them. */
const FASTIFY_CODES: Record<string, keyof typeof HttpErrors> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "MALFORMED",
  FST_ERR_CTP_EMPTY_JSON_BODY: "MALFORMED",
  FST_ERR_CTP_INVALID_JSON_BODY: "MALFORMED",
  FST_ERR_BAD_URL: "INVALID",
};

/** Turns whatever was thrown into one of our errors. */
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
    return HttpErrors.MEDIA_TYPE("The content type of the body is not one that this path takes.", { cause: error });
  }
  const mapped = fastify.code === undefined ? undefined : own(FASTIFY_CODES, fastify.code);
  if (mapped) return HttpErrors[mapped](messageOf(error), { cause: error });
  if (error instanceof SyntaxError && fastify.statusCode === 400) {
    return HttpErrors.MALFORMED(`The body is not JSON: ${error.message}.`, { cause: error });
  }
  if (fastify.statusCode !== undefined && fastify.statusCode >= 400 && fastify.statusCode < 500) {
    return HttpErrors.INVALID(messageOf(error), { cause: error });
  }
  return HttpErrors.INTERNAL("Something broke on our side; the log has the details under this trace id.", {
    cause: error,
  });
}

/** Whatever was thrown for this request, as one of our errors: of a content type with the ones that the path takes. */
export function errorOfRequest(request: FastifyRequest, reply: FastifyReply, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const error = toAppError(thrown);
  return HttpErrors.MEDIA_TYPE.is(error) ? mediaTypeError(request, reply) : error;
}

/** Says what was sent and what to send; `Accept` says it to programs. */
function mediaTypeError(request: FastifyRequest, reply: FastifyReply): AppError {
  const { consumes = ["application/json"] } = (request.routeOptions.schema ?? {}) as { consumes?: readonly string[] };
  const [type = ""] = consumes;
  const sent = request.headers["content-type"];
  void reply.header("accept", consumes.join(", "));
  return HttpErrors.MEDIA_TYPE(
    `${sent === undefined ? "The body has no content type" : `"${sent}" is not a content type that this path takes`}. ` +
      `Send it as ${consumes.join(" or ")}, with the header "content-type: ${type}" (curl: -H 'content-type: ${type}').`,
  );
}

/** Answers with the problem of an error, and logs it when it is ours to mend. */
export function sendProblem(log: Log, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = errorOfRequest(request, reply, thrown);
  if (error.status >= 500) {
    log.error({ err: error.cause ?? error, code: error.code, method: request.method, url: request.url }, error.message);
  }
  if (error.status === 401) void reply.header("www-authenticate", `Bearer realm="posthouse"`);
  if (error.status === 503) void reply.header("retry-after", "1");
  const { retryAfterSeconds } = error.extra;
  if (typeof retryAfterSeconds === "number") void reply.header("retry-after", String(retryAfterSeconds));
  return reply
    .code(error.status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(problemOf(error, request.url.split("?", 1)[0])));
}
