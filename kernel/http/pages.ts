/**
 * Pages for people who open an API in a browser: an index, and the meaning of each error. The `type` of every problem is the URL of its
 * code's page. Programs receive the same as JSON.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { errorRows } from "#base";
import { HttpErrors } from "./problem.ts";

export interface PageOptions {
  /** Such as `posthouse control API`. */
  readonly title: string;
  readonly version: string;
  /** Path of the OpenAPI document. */
  readonly document: string;
  /** Path of a page for people that replaces the index; undefined while there is none. */
  readonly home?: () => Promise<string | undefined>;
}

/** Paths that need no token, because they reveal nothing that the source does not. */
export const OPEN_PAGES: ReadonlySet<string> = new Set(["/", "/errors", "/errors/:code"]);

const ErrorPage = Type.Object({
  code: Type.String(),
  status: Type.Integer(),
  title: Type.String(),
  advice: Type.String({ description: "How the caller should react to this status." }),
});

const ErrorList = Type.Object({ errors: Type.Array(Type.Omit(ErrorPage, ["advice"])) });

/** How a caller can react to a status, unless the detail of the error says otherwise. */
const ADVICE: Readonly<Record<number, string>> = {
  400: "Correct the request; the detail names the field. The same request would fail again.",
  401: "Send a valid token: Authorization: Bearer TOKEN.",
  403: "Use a token whose role allows this.",
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

export function registerPages(app: FastifyInstance, { title, version, document, home }: PageOptions): void {
  const open = { action: "open" } as const;
  app.get("/", { config: open, schema: { hide: true } }, async (request, reply) => {
    const page = isForPeople(request) ? await home?.() : undefined;
    if (page !== undefined) return reply.header("vary", "accept").redirect(page);
    const links = { document, errors: "/errors", live: "/livez", ready: "/readyz", metrics: "/metrics" };
    const items = Object.entries(links).map(([name, path]) => `<li>${name}: <a href="${path}">${path}</a></li>`);
    return send(request, reply, {
      data: { name: title, version, links },
      title,
      html: `<p>Version ${text(version)}.</p><ul>${items.join("")}</ul>`,
    });
  });
  app.get(
    "/errors",
    {
      config: open,
      schema: { tags: ["operations"], summary: "Every error code of this server", response: { 200: ErrorList } },
    },
    (request, reply) => {
      const errors = [...errorRows().values()].map(({ code, status, title }) => ({ code, status, title }));
      const items = errors.map(
        ({ code, status, title }) => `<li><a href="/errors/${code}">${code}</a> ${status}, ${text(title)}</li>`,
      );
      return send(request, reply, { data: { errors }, title: "Errors", html: `<ul>${items.join("")}</ul>` });
    },
  );
  app.get<{ Params: { code: string } }>(
    "/errors/:code",
    {
      config: open,
      schema: {
        tags: ["operations"],
        summary: "The meaning of an error code, at the URL that problems have as their type",
        params: Type.Object({ code: Type.String({ maxLength: 100 }) }),
        response: { 200: ErrorPage },
      },
    },
    (request, reply) => {
      const row = errorRows().get(request.params.code.toUpperCase());
      if (!row) throw HttpErrors.NOT_FOUND(`"${request.params.code}" is not an error code. GET /errors lists them.`);
      const { code, status, title } = row;
      const advice = adviceOf(status);
      return send(request, reply, {
        data: { code, status, title, advice },
        title: code,
        html: `<p>${text(title)} (status ${status}).</p><p>${text(advice)}</p><p><a href="/errors">All codes</a></p>`,
      });
    },
  );
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  { data, title, html }: { data: object; title: string; html: string },
): FastifyReply {
  void reply.header("vary", "accept");
  if (!isForPeople(request)) {
    return reply.type("application/json").send(`${JSON.stringify(data, null, 2)}\n`);
  }
  return reply
    .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
    .type("text/html; charset=utf-8")
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>${text(title)}</title>` +
        `<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}</style>` +
        `<h1>${text(title)}</h1>${html}</html>\n`,
    );
}

/** Whether a browser loads the page, and not a program. */
function isForPeople({ headers }: FastifyRequest): boolean {
  return /\btext\/html\b/.test(headers.accept ?? "");
}

function text(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
