/**
 * The meaning of each error code, at the server that responded with it. `GET /docs/errors` has every code; the `type` of a problem is
 * its place there. `/errors` and `/errors/CODE` are the addresses of earlier versions.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { type ErrorRow, errorRows } from "#base";
import { escapeHtml, isForPeople, sendPage } from "./page-answer.ts";
import { ERRORS_PATH, HttpErrors, typeOfProblem } from "./problem.ts";

const ErrorPage = Type.Object({
  code: Type.String(),
  status: Type.Integer(),
  title: Type.String(),
  advice: Type.String({ description: "How the caller should react to this status." }),
});

const ErrorList = Type.Object({ errors: Type.Array(ErrorPage) });

/** How a caller can react to a status, unless the detail of the error says otherwise. */
const ADVICE: Readonly<Record<number, string>> = {
  400: "Correct the request; the detail names the field. The same request would fail again.",
  401: "Send a valid token: Authorization: Bearer TOKEN.",
  403: "Use a token whose policies allow this.",
  404: "Check the name. The resource may not exist yet.",
  405: "Use one of the methods in the Allow header.",
  408: "Send the request faster, or in parts.",
  409: "Read the current state, and decide again.",
  412: "Read the current state, and send the request with its revision.",
  413: "Send less data per request.",
  415: "Send the content type that the detail names.",
  422: "Correct the content; the detail names the place.",
  429: "Wait for the time in the Retry-After header.",
};

function adviceOf(status: number): string {
  if (status >= 500) return "The server failed to process the request. Try again later; its log has the details.";
  return ADVICE[status] ?? "Correct the request. The same request would fail again.";
}

/** Paths that need no token, because they reveal nothing that the source does not. */
export const OPEN_ERROR_PAGES = [ERRORS_PATH, "/errors", "/errors/:code"] as const;

export function registerErrorPages(app: FastifyInstance): void {
  const [canonical, earlier, single] = OPEN_ERROR_PAGES;
  const open = { action: "open" } as const;
  const list = (summary: string) => ({
    config: open,
    schema: { tags: ["operations"], summary, response: { 200: ErrorList } },
  });
  app.get(canonical, list("Every error code of this server. The type of a problem is a place in this page."), sendAll);
  app.get(earlier, list(`The same as ${canonical}, at its earlier path`), sendAll);
  app.get<{ Params: { code: string } }>(
    single,
    {
      config: open,
      schema: {
        tags: ["operations"],
        summary: "The meaning of one error code",
        params: Type.Object({ code: Type.String({ maxLength: 100 }) }),
        response: { 200: ErrorPage },
      },
    },
    (request, reply) => {
      const row = errorRows().get(request.params.code.toUpperCase());
      if (!row) {
        throw HttpErrors.NOT_FOUND(`"${request.params.code}" is not an error code. GET ${canonical} lists them.`);
      }
      void reply.header("vary", "accept");
      if (isForPeople(request)) return reply.redirect(typeOfProblem(row.code));
      return sendPage(request, reply, { data: pageOf(row), title: row.code, html: "" });
    },
  );
}

const pageOf = ({ code, status, title }: ErrorRow & { readonly code: string }) => ({
  code,
  status,
  title,
  advice: adviceOf(status),
});

function sendAll(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const errors = [...errorRows().values()].map(pageOf);
  const sections = errors.map(
    ({ code, status, title, advice }) =>
      `<section id="${code}"><h3><a href="#${code}">${code}</a></h3>` +
      `<p>${escapeHtml(title)} (status ${status}).</p><p>${escapeHtml(advice)}</p></section>`,
  );
  return sendPage(request, reply, { data: { errors }, title: "Errors", html: sections.join("") });
}
