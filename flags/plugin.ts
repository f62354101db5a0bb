/**
 * OFREP, the OpenFeature Remote Evaluation Protocol, over whatever knows effective configs: the config server, or an
 * agent. A client of OFREP can be told a base URL and headers only, so the set of flags stands in either.
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
  /** What the routes need their caller to be allowed to do. */
  readonly action: Action | "open";
  /** What an instance is told now; it may say how old that is. @throws whatever says that it is not known yet */
  readonly effective: (name: SetName, reply: FastifyReply) => EffectiveConfig | Promise<EffectiveConfig>;
}

/** Routes of OFREP: below a path that names the set, and plain with headers that do. */
export function flagsPlugin(untyped: FastifyInstance, host: Host, source: FlagSource): void {
  const sets = new FlagSets();
  const count = counters(host);
  const setOf = async (name: SetName, reply: FastifyReply): Promise<FlagSet> => {
    const flags = sets.of(await source.effective(name, reply));
    if ("set" in flags) return flags.set;
    if ("absent" in flags) throw new Refusal("FLAG_NOT_FOUND", flags.absent, 404);
    throw new Refusal("PARSE_ERROR", flags.problem);
  };

  const routes = (untypedScope: FastifyInstance, { prefix, params, headers, nameOf }: Naming) => {
    const scope = untypedScope.withTypeProvider<TypeBoxTypeProvider>();
    const common = { config: { action: source.action }, bodyLimit: EVALUATION_BYTES_MAX };
    const refused = { 400: EvaluationRefused, 404: EvaluationRefused };

    scope.post(
      `${prefix}/ofrep/v1/evaluate/flags/:key`,
      {
        ...common,
        schema: {
          tags: ["flags"],
          summary: "Evaluate one flag (OFREP)",
          params: Type.Object({ ...params, key: Type.String({ maxLength: 128 }) }),
          headers: Type.Object(headers),
          body: EvaluationRequest,
          response: { 200: Evaluated, ...refused },
        },
      },
      async (request, reply) => {
        const set = await setOf(nameOf(request), reply);
        const evaluation = set.evaluate(request.params.key, contextOf(request.body));
        count(wasEvaluated(evaluation) ? evaluation.reason : evaluation.errorCode);
        if (wasEvaluated(evaluation)) return evaluation;
        return reply.code(statusOf(evaluation.errorCode)).send(evaluation);
      },
    );

    scope.post(
      `${prefix}/ofrep/v1/evaluate/flags`,
      {
        ...common,
        schema: {
          tags: ["flags"],
          summary: "Evaluate every flag for one context (OFREP); with If-None-Match 304 when no answer is another",
          params: Type.Object(params),
          headers: Type.Object({
            ...headers,
            "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })),
          }),
          body: EvaluationRequest,
          response: { 200: BulkEvaluation, 304: Type.Null(), ...refused },
        },
      },
      async (request, reply) => {
        const set = await setOf(nameOf(request), reply);
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
  };

  void untyped.register(async (scope) => {
    scope.addHook("preValidation", (request, _reply, done) => {
      // The protocol does not ask for a body.
      request.body ??= {};
      done();
    });
    scope.setErrorHandler((error: FastifyError, request, reply) => {
      const { key } = request.params as { key?: string };
      const { errorCode, status, message } = refusalOf(
        error instanceof Refusal ? error : errorOfRequest(request, reply, error),
      );
      count(errorCode);
      return reply.code(status).send({ ...(key === undefined ? {} : { key }), errorCode, errorDetails: message });
    });
    routes(scope, BY_HEADERS);
    routes(scope, BY_PATH);
  });
}

/** How a request names its set. */
interface Naming {
  readonly prefix: string;
  readonly params: TProperties;
  readonly headers: TProperties;
  readonly nameOf: (request: { readonly params: unknown; readonly headers: unknown }) => SetName;
}

const BY_PATH: Naming = {
  prefix: "/v1/flags/:namespace/:app/:profile",
  params: SetName.properties,
  headers: {},
  nameOf({ params }) {
    const { namespace, app, profile } = params as SetName;
    return { namespace, app, profile };
  },
};

const BY_HEADERS: Naming = {
  prefix: "",
  params: {},
  headers: {
    "x-posthouse-namespace": Type.Optional(Name),
    "x-posthouse-app": Type.Optional(Name),
    "x-posthouse-profile": Type.Optional(Name),
  },
  nameOf({ headers }) {
    const {
      "x-posthouse-namespace": namespace = DEFAULT_NAMESPACE,
      "x-posthouse-app": app,
      "x-posthouse-profile": profile = DEFAULT_PROFILE,
    } = headers as Record<string, string | undefined>;
    if (app !== undefined) return { namespace, app, profile };
    throw new Refusal(
      "GENERAL",
      "Whose flags? Send the header x-posthouse-app, or ask below /v1/flags/NAMESPACE/APP/PROFILE.",
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

/** What OFREP has a code for. */
class Refusal extends Error {
  readonly errorCode: ErrorCode;
  readonly status: number;

  constructor(errorCode: ErrorCode, message: string, status = statusOf(errorCode)) {
    super(message);
    this.errorCode = errorCode;
    this.status = status;
  }
}

/** Our codes that mean one of OFREP's. */
const REFUSED: Readonly<Record<string, ErrorCode>> = {
  [HttpErrors.MALFORMED.code]: "PARSE_ERROR",
  [HttpErrors.MEDIA_TYPE.code]: "PARSE_ERROR",
  [HttpErrors.BODY_TOO_LARGE.code]: "INVALID_CONTEXT",
  [HttpErrors.BODY_TOO_COMPLEX.code]: "INVALID_CONTEXT",
  [HttpErrors.INVALID.code]: "GENERAL",
};

/**
 * An error in OFREP's words. What the protocol answers by its status alone (401, 403, 5xx) goes on to the server's
 * handler, as a problem with OFREP's `errorDetails`.
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

/** Equal release and equal context, equal answers. */
function etagOf(release: Metadata, context: EvaluationContext): string {
  return `"${hash("sha256", canonicalJson([release, context])).slice(0, 32)}"`;
}

function counters(host: Host): (result: string) => void {
  const family = host.metrics.counter({
    name: "posthouse_flags_evaluations_total",
    help: "Flags asked for over OFREP, by reason, or by error code where there was no value.",
    labelNames: ["result"],
  });
  const known = new Map<string, CounterChild>();
  return (result) => {
    const child = known.get(result) ?? family.labels(result);
    known.set(result, child);
    child.inc();
  };
}
