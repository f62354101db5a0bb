/** Pages for people who open an API in a browser: an index, and the meaning of each error. Programs receive the same as JSON. */
import type { FastifyInstance } from "fastify";
import { OPEN_ERROR_PAGES, registerErrorPages } from "./error-pages.ts";
import { escapeHtml, isForPeople, sendPage } from "./page-answer.ts";
import { ERRORS_PATH } from "./problem.ts";

export { escapeHtml, isForPeople, sendPage };

export interface PageOptions {
  /** Such as `posthouse control API`. */
  readonly title: string;
  readonly version: string;
  /** Path of the OpenAPI document; undefined for a server without one. */
  readonly document?: string;
  /** Path of a page for people that replaces the index; undefined while there is none. */
  readonly home?: () => Promise<string | undefined>;
}

/** Paths that need no token, because they reveal nothing that the source does not. */
export const OPEN_PAGES: ReadonlySet<string> = new Set(["/", ...OPEN_ERROR_PAGES]);

export function registerPages(app: FastifyInstance, { title, version, document, home }: PageOptions): void {
  app.get("/", { config: { action: "open" }, schema: { hide: true } }, async (request, reply) => {
    const page = isForPeople(request) ? await home?.() : undefined;
    if (page !== undefined) return reply.header("vary", "accept").redirect(page);
    const links = {
      ...(document === undefined ? {} : { document }),
      errors: ERRORS_PATH,
      live: "/livez",
      ready: "/readyz",
      metrics: "/metrics",
    };
    const items = Object.entries(links).map(([name, path]) => `<li>${name}: <a href="${path}">${path}</a></li>`);
    return sendPage(request, reply, {
      data: { name: title, version, links },
      title,
      html: `<p>Version ${escapeHtml(version)}.</p><ul>${items.join("")}</ul>`,
    });
  });
  registerErrorPages(app);
}
