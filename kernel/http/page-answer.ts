/** A page in the form that its caller reads: HTML for a browser, JSON for a program. */
import type { FastifyReply, FastifyRequest } from "fastify";

export interface PageContent {
  readonly data: object;
  readonly title: string;
  /** The body below the title; its parts are escaped. */
  readonly html: string;
}

export function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  { data, title, html }: PageContent,
): FastifyReply {
  void reply.header("vary", "accept");
  if (!isForPeople(request)) {
    return reply.type("application/json").send(`${JSON.stringify(data, null, 2)}\n`);
  }
  return reply
    .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
    .type("text/html; charset=utf-8")
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
        `<title>${escapeHtml(title)}</title>` +
        `<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}` +
        `h3{overflow-wrap:anywhere}:target{background:light-dark(#fff3c4,#4a3d00)}</style>` +
        `<h1>${escapeHtml(title)}</h1>${html}</html>\n`,
    );
}

/** Whether a browser loads the page, and not a program. */
export function isForPeople({ headers }: FastifyRequest): boolean {
  return /\btext\/html\b/.test(headers.accept ?? "");
}

export function escapeHtml(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
