/** Problems of a route's rewrites, redirects and header changes. */
import { isHost, pathProblems, replacementProblems } from "./match.ts";
import { pointerPart } from "#base/shape";
import type { HeaderEdits, RouteConfig } from "../../api.ts";
import { isAnswerOwn, isGatewayOwn } from "../decision/headers.ts";
import { pathOf, variableNames } from "../paths/path-pattern.ts";
import { parsePathTemplate } from "../rewriting/rewrite.ts";
import { parseText } from "../rewriting/template.ts";
import type { RouteContext, Problems } from "./problems.ts";

export function* changeProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const pattern = pathOf(route.match);
  const names = variableNames(pattern);
  const { rewrite, redirect } = route;
  if (rewrite) {
    const ways = [rewrite.prefix, rewrite.template, rewrite.regex].filter((way) => way !== undefined).length;
    if (ways > 1 || (ways === 0 && rewrite.host === undefined)) {
      yield {
        pointer: `${pointer}/rewrite`,
        message: "Give host, or one of prefix, template and regex, or both.",
      };
    }
    if (rewrite.prefix !== undefined) yield* prefixProblems(rewrite.prefix, `${pointer}/rewrite/prefix`);
    if (rewrite.template !== undefined) yield* fillProblems(rewrite.template, `${pointer}/rewrite/template`);
    if (rewrite.regex) yield* replacementProblems(rewrite.regex, `${pointer}/rewrite/regex`);
    if (rewrite.host !== undefined && !isHost(rewrite.host)) {
      yield { pointer: `${pointer}/rewrite/host`, message: `"${rewrite.host}" is not a valid host.` };
    }
  }
  if (redirect) {
    const { status: _status, ...where } = redirect;
    if (Object.keys(where).length === 0) {
      yield {
        pointer: `${pointer}/redirect`,
        message: "The redirect leads back to the same URL. Change at least one part.",
      };
    }
    if (redirect.prefix !== undefined && redirect.path !== undefined) {
      yield { pointer: `${pointer}/redirect`, message: "Give either prefix or path." };
    }
    if (redirect.prefix !== undefined) yield* prefixProblems(redirect.prefix, `${pointer}/redirect/prefix`);
    if (redirect.path !== undefined) yield* fillProblems(redirect.path, `${pointer}/redirect/path`);
    if (redirect.host !== undefined && !isHost(redirect.host)) {
      yield { pointer: `${pointer}/redirect/host`, message: `"${redirect.host}" is not a valid host.` };
    }
  }
  const edits = [
    [route.requestHeaders, `${pointer}/requestHeaders`, "request"],
    [route.responseHeaders, `${pointer}/responseHeaders`, "response"],
    ...(route.split ?? []).flatMap(
      (one, at) =>
        [
          [one.requestHeaders, `${pointer}/split/${at}/requestHeaders`, "request"],
          [one.responseHeaders, `${pointer}/split/${at}/responseHeaders`, "response"],
        ] as const,
    ),
  ] as const;
  for (const [edit, at, way] of edits) yield* editProblems(edit, at, way, names, context);

  function* prefixProblems(prefix: string, at: string): Problems {
    if (pattern.kind === "template" || pattern.kind === "regex") {
      yield {
        pointer: at,
        message: `A ${pattern.kind} does not match a prefix that could be replaced. Replace the whole path.`,
      };
    }
    yield* pathProblems(prefix, at);
  }
  function* fillProblems(text: string, at: string): Problems {
    const parts = parsePathTemplate(text, names);
    if ("problem" in parts) yield { pointer: at, message: parts.problem };
    else yield* pathProblems(text.replaceAll(/\{[^{}]*\}/g, "x"), at);
  }
}

function* editProblems(
  edits: HeaderEdits | undefined,
  pointer: string,
  way: "request" | "response",
  names: readonly string[],
  { ownHeaders }: RouteContext,
): Problems {
  if (!edits) return;
  const own = (name: string) => (way === "request" ? isGatewayOwn(name) || ownHeaders.has(name) : isAnswerOwn(name));
  const problem = (name: string) =>
    `The header "${name}" belongs to the gateway or to the connection, and routes cannot change it.`;
  for (const verb of ["set", "add"] as const) {
    for (const [name, text] of Object.entries(edits[verb] ?? {})) {
      const at = `${pointer}/${verb}/${pointerPart(name)}`;
      if (own(name.toLowerCase())) yield { pointer: at, message: problem(name) };
      const parts = parseText(text, names);
      if ("problem" in parts) yield { pointer: at, message: parts.problem };
    }
  }
  for (const [at, name] of (edits.remove ?? []).entries()) {
    if (own(name.toLowerCase())) yield { pointer: `${pointer}/remove/${at}`, message: problem(name) };
  }
}
