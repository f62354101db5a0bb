/**
 * OFREP, the OpenFeature Remote Evaluation Protocol, on the config server and on agents. A client of OFREP can be configured
 * only with a base URL and headers, so one of the two names the flag set.
 * @see https://github.com/open-feature/protocol service/openapi.yaml
 */
import { hash } from "node:crypto";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyError, FastifyInstance, FastifyReply } from "fastify";
import { Type, type TProperties } from "typebox";
import { AppError, canonicalJson, type CounterChild, type Host, own } from "#base";
import { Name, SetName, type EffectiveConfig } from "#config-server/api";
import { errorOfRequest, HttpErrors, IF_NONE_MATCH_CHARS_MAX, parseIfNoneMatch, toAppError, type Action } from "#http";
import {
  BulkEvaluation,
  DEPTH_MAX,
  Evaluated,
  EvaluationRefused,
  EvaluationRequest,
  EVALUATION_BYTES_MAX,
  type ErrorCode,
  type EvaluationContext,
} from "./api.ts";
import { depthOf, FlagSets, wasEvaluated, type FlagSet, type Metadata } from "./core/mod.ts";

const DEFAULT_NAMESPACE = "default";
const DEFAULT_PROFILE = "default";

export interface FlagSource {
  /** The action that a caller of the routes must be allowed. */
  readonly action: Action | "open";
  /** The current effective config. May add headers with its age. @throws an error when it is not known yet */
  readonly effective: (name: SetName, reply: FastifyReply) => EffectiveConfig | Promise<EffectiveConfig>;
}

/** The routes of OFREP: below a path that names the flag set, and without one, where headers name it. */
export function flagsPlugin(untyped: FastifyInstance, host: Host, source: FlagSource): void {
  const sets = new FlagSets();
  const count = counters(host);
  const setOf = async (name: SetName, reply: FastifyReply): Promise<FlagSet> => {
    const flags = sets.of(await source.effective(name, reply));
    if ("set" in flags) return flags.set;
    if ("absent" in flags) throw new Refusal("FLAG_NOT_FOUND", flags.absent, 404);
    throw new Refusal("PARSE_ERROR", flags.problem);
  };

  void untyped.register(async (scope) => {
    scope.addHook("preValidation", (request, _reply, done) => {
      // The protocol does not require a body.
      request.body ??= {};
      done();
    });
    scope.setErrorHandler((error: FastifyError, request, reply) => {
      const { flag: key } = request.params as { flag?: string };
      const { errorCode, status, message } = refusalOf(
        error instanceof Refusal ? error : errorOfRequest(request, reply, error),
      );
      count(errorCode);
      return reply.code(status).send({ ...(key === undefined ? {} : { key }), errorCode, errorDetails: message });
    });
    for (const naming of [BY_HEADERS, BY_PATH]) {
      const parts = { action: source.action, setOf, count, naming };
      evaluateRoute(scope, parts);
      evaluateAllRoute(scope, parts);
    }
  });
}

/** The parts that the routes of one naming share. */
interface RouteParts {
  readonly action: FlagSource["action"];
  readonly setOf: (name: SetName, reply: FastifyReply) => Promise<FlagSet>;
  /** Counts an evaluation by its reason, or by its error code. */
  readonly count: (result: string) => void;
  readonly naming: SetNaming;
}

const REFUSED_RESPONSES = { 400: EvaluationRefused, 404: EvaluationRefused };

function evaluateRoute(untyped: FastifyInstance, { action, setOf, count, naming }: RouteParts): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().post(
    `${naming.prefix}/ofrep/v1/evaluate/flags/:flag`,
    {
      config: { action, perItem: true },
      bodyLimit: EVALUATION_BYTES_MAX,
      schema: {
        tags: ["flags"],
        summary: "Evaluate one flag (OFREP)",
        params: Type.Object({ ...naming.params, flag: Type.String({ maxLength: 128 }) }),
        headers: Type.Object(naming.headers),
        body: EvaluationRequest,
        response: { 200: Evaluated, ...REFUSED_RESPONSES },
      },
    },
    async (request, reply) => {
      const set = await setOf(naming.setNameOf(request), reply);
      const evaluation = set.evaluate(request.params.flag, contextOf(request.body));
      count(wasEvaluated(evaluation) ? evaluation.reason : evaluation.errorCode);
      if (wasEvaluated(evaluation)) return evaluation;
      return reply.code(statusOf(evaluation.errorCode)).send(evaluation);
    },
  );
}

function evaluateAllRoute(untyped: FastifyInstance, { action, setOf, count, naming }: RouteParts): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().post(
    `${naming.prefix}/ofrep/v1/evaluate/flags`,
    {
      config: { action, perItem: true },
      bodyLimit: EVALUATION_BYTES_MAX,
      schema: {
        tags: ["flags"],
        summary: "Evaluate every flag for one context (OFREP); with If-None-Match, 304 when nothing has changed",
        params: Type.Object(naming.params),
        headers: Type.Object({
          ...naming.headers,
          "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })),
        }),
        body: EvaluationRequest,
        response: { 200: BulkEvaluation, 304: Type.Null(), ...REFUSED_RESPONSES },
      },
    },
    async (request, reply) => {
      const set = await setOf(naming.setNameOf(request), reply);
      const context = contextOf(request.body);
      const etag = etagOf(set.release, context);
      void reply.header("etag", etag);
      if (parseIfNoneMatch(request.headers["if-none-match"])?.matches(etag.slice(1, -1)))
        return reply.code(304).send(null);
      const flags = set.evaluateAll(context);
      for (const one of flags) count(wasEvaluated(one) ? one.reason : one.errorCode);
      return { flags, metadata: set.release };
    },
  );
}

/** How a request names its flag set. */
interface SetNaming {
  readonly prefix: string;
  readonly params: TProperties;
  readonly headers: TProperties;
  readonly setNameOf: (request: { readonly params: unknown; readonly headers: unknown }) => SetName;
}

const BY_PATH: SetNaming = {
  prefix: "/v1/flags/:namespace/:app/:profile",
  params: SetName.properties,
  headers: {},
  setNameOf({ params }) {
    const { namespace, app, profile } = params as SetName;
    return { namespace, app, profile };
  },
};

const BY_HEADERS: SetNaming = {
  prefix: "",
  params: {},
  headers: {
    "x-posthouse-namespace": Type.Optional(Name),
    "x-posthouse-app": Type.Optional(Name),
    "x-posthouse-profile": Type.Optional(Name),
  },
  setNameOf({ headers }) {
    const {
      "x-posthouse-namespace": namespace = DEFAULT_NAMESPACE,
      "x-posthouse-app": app,
      "x-posthouse-profile": profile = DEFAULT_PROFILE,
    } = headers as Record<string, string | undefined>;
    if (app !== undefined) return { namespace, app, profile };
    throw new Refusal(
      "GENERAL",
      "The request names no app. Send the header x-posthouse-app, or use the path /v1/flags/NAMESPACE/APP/PROFILE.",
    );
  },
};

function contextOf({ context = {} }: { context?: EvaluationContext }): EvaluationContext {
  if (depthOf(context) > DEPTH_MAX) {
    throw new Refusal("INVALID_CONTEXT", `The context is nested deeper than ${DEPTH_MAX} levels.`);
  }
  return context;
}

function statusOf(errorCode: ErrorCode): number {
  return errorCode === "FLAG_NOT_FOUND" ? 404 : 400;
}

/** An error that OFREP has a code for. */
class Refusal extends Error {
  readonly errorCode: ErrorCode;
  readonly status: number;

  constructor(errorCode: ErrorCode, message: string, status = statusOf(errorCode)) {
    super(message);
    this.errorCode = errorCode;
    this.status = status;
  }
}

/** OFREP's codes for errors of the HTTP server. */
const REFUSED: Readonly<Record<string, ErrorCode>> = {
  [HttpErrors.MALFORMED.code]: "PARSE_ERROR",
  [HttpErrors.MEDIA_TYPE.code]: "PARSE_ERROR",
  [HttpErrors.BODY_TOO_LARGE.code]: "INVALID_CONTEXT",
  [HttpErrors.BODY_TOO_COMPLEX.code]: "INVALID_CONTEXT",
  [HttpErrors.INVALID.code]: "GENERAL",
};

/**
 * An error as OFREP expresses it. Errors that the protocol expresses by their status alone (401, 403, 5xx) are thrown on to
 * the server's handler, as a problem with OFREP's `errorDetails`.
 */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const known = toAppError(error);
  const errorCode = known.extra["part"] === "body" ? "INVALID_CONTEXT" : own(REFUSED, known.code);
  if (errorCode === undefined) {
    const extra = { ...known.extra, errorDetails: known.message };
    throw new AppError(known.code, known, known.message, { cause: known.cause, extra });
  }
  return new Refusal(errorCode, known.message, known.status);
}

/** Equal releases and equal contexts give equal evaluations. */
function etagOf(release: Metadata, context: EvaluationContext): string {
  return `"${hash("sha256", canonicalJson([release, context])).slice(0, 32)}"`;
}

function counters(host: Host): (result: string) => void {
  const family = host.metrics.counter({
    name: "posthouse_flags_evaluations_total",
    help: "Flags evaluated over OFREP, by reason, or by error code for those without a value.",
    labelNames: ["result"],
  });
  const known = new Map<string, CounterChild>();
  return (result) => {
    const child = known.get(result) ?? family.labels(result);
    known.set(result, child);
    child.inc();
  };
}
