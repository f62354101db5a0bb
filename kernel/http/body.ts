/**
 * Bodies of requests: their maximum sizes, and the one reader of JSON. The parser's cost depends on brackets more than on bytes (two
 * megabytes of them take a second), so they are counted before parsing.
 */
import type { FastifyInstance, RouteOptions } from "fastify";
import { hasLoneSurrogate, jsonShapeProblem } from "#base";
import { HttpErrors } from "./problem.ts";

/** Bytes of a request body, by kind of route. Every route with a body states one of these, or its own limit. */
export const BODY_BYTES = {
  /** Names, numbers, and a reason of 1024 escaped characters. */
  command: 16 * 1024,
  /** The same with a text of 4096 characters. */
  note: 64 * 1024,
  /** A registration with its checks, a policy, a list of keys. */
  document: 256 * 1024,
  /** A value of 1 MiB, or a batch of registrations. */
  value: 2 * 1024 * 1024,
} as const;

/** For routes that state no limit: they accept no body, except an empty object. */
export const BODY_BYTES_DEFAULT = BODY_BYTES.command;

const utf8 = new TextDecoder("utf-8", { fatal: true });
/** JSON escapes that may be half of a surrogate pair. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** Reads JSON bodies within bounds and in valid Unicode, and records which routes accept a body. */
export function readJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    const bytes = body as Buffer;
    const problem = jsonShapeProblem(bytes);
    if (problem !== undefined) return done(HttpErrors.BODY_TOO_COMPLEX(`The body ${problem}.`));
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch (cause) {
      return done(HttpErrors.MALFORMED("The body is not valid UTF-8. Send JSON in UTF-8.", { cause }));
    }
    return parse(request, text, (error, value) => {
      if (error || !SURROGATE_ESCAPE.test(text) || !hasLoneSurrogate(value)) return done(error, value);
      const detail =
        "The body contains half of a surrogate pair (\\ud800 to \\udfff), which is not valid Unicode. Remove it.";
      return done(HttpErrors.MALFORMED(detail));
    });
  });
  app.decorate("unlimitedRoutes", []);
  app.addHook("onRoute", (route) => {
    if (route.schema?.body !== undefined && route.bodyLimit === undefined) app.unlimitedRoutes.push(nameOf(route));
  });
}

declare module "fastify" {
  interface FastifyInstance {
    /** Routes that accept a body without a limit. A test keeps this empty. */
    readonly unlimitedRoutes: string[];
  }
}

function nameOf({ method, url }: Pick<RouteOptions, "method" | "url">): string {
  return `${[method].flat().join(",")} ${url}`;
}
