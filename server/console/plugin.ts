/**
 * Serves the built console at `/ui/`: its files by name, and its page for every path below, which the console itself interprets. The
 * policy of each response lets the page load only what this server provides.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Host } from "#base";
import { HttpErrors, parseIfNoneMatch } from "#http";
import type { BuiltConsole, ConsoleFile, ConsoleFiles, ConsoleVariant } from "./files.ts";

export const CONSOLE_PATH = "/ui/";
/** Random bytes of a nonce, which is good for one response. */
const NONCE_BYTES = 16;
const HASHED_CACHE = "public, max-age=31536000, immutable";
/** Paths that are never pages, so that a typing error there is a 404. */
const NO_PAGES: ReadonlySet<string> = new Set(["assets", "api"]);
const NOT_BUILT = `The console is not built. In a checkout of posthouse, build it and load this page again:

  npm run build:console

The API works without the console: /v1/openapi.json describes it, /errors lists its errors.
`;

const HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy":
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), " +
    "midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()",
};

/** Inline styles need the nonce: the editor adds `<style>` elements. Nothing else that is inline is allowed. */
function policyWith(styleSource: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self'${styleSource}`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

export function consolePlugin(app: FastifyInstance, { host, files }: { host: Host; files: ConsoleFiles }): void {
  const open = { config: { action: "open" }, schema: { hide: true } } as const;
  app.get("/ui", open, (_request, reply) => reply.redirect(CONSOLE_PATH));
  app.get<{ Params: { "*": string } }>(`${CONSOLE_PATH}*`, open, async (request, reply) => {
    void reply.headers(HEADERS);
    const built = await files.built();
    if (!built) return sendNotBuilt(reply);
    const path = request.params["*"];
    const file = built.files.get(path);
    if (file) return sendFile(request, reply, file);
    if (isPage(path)) return sendPage(request, reply, { built, host });
    throw HttpErrors.NOT_FOUND(
      `The console has no file at ${request.url.slice(0, 200)}. It begins at ${CONSOLE_PATH}.`,
    );
  });
}

/**
 * Whether a path is one of the console's own pages: plain names. From the second on they are names of objects, such as locks, and may have
 * dots. A first name with a dot is a missing file.
 */
function isPage(path: string): boolean {
  const names = path.split("/");
  const [first = ""] = names;
  if (NO_PAGES.has(first) || first.includes(".")) return false;
  const last = names.pop() ?? "";
  const isName = (name: string) => name !== "" && name !== "." && name !== "..";
  return names.every(isName) && last !== "." && last !== ".." && !/[\\\p{Cc}]/u.test(path);
}

function sendNotBuilt(reply: FastifyReply): FastifyReply {
  return reply
    .code(503)
    .header("cache-control", "no-store")
    .header("content-security-policy", policyWith(""))
    .type("text/plain; charset=utf-8")
    .send(NOT_BUILT);
}

function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  { built: { page }, host }: { built: BuiltConsole; host: Host },
): FastifyReply {
  void reply.header("cache-control", "no-cache").header("etag", `"${page.etag}"`);
  // Without a policy: the browser keeps that of the page it has, whose nonce is the one in that page.
  if (hasAlready(request, page.etag)) return reply.code(304).send();
  const nonce = Buffer.from(host.random.bytes(NONCE_BYTES)).toString("base64");
  return reply
    .header("content-security-policy", policyWith(` 'nonce-${nonce}'`))
    .type("text/html; charset=utf-8")
    .send(page.withNonce(nonce));
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: ConsoleFile): FastifyReply {
  const { encoding, bytes, etag } = variantFor(request, file);
  void reply
    .header("cache-control", file.isHashed ? HASHED_CACHE : "no-cache")
    .header("content-security-policy", policyWith(""))
    .header("vary", "accept-encoding")
    .header("etag", `"${etag}"`);
  if (hasAlready(request, etag)) return reply.code(304).send();
  if (encoding !== undefined) void reply.header("content-encoding", encoding);
  return reply.type(file.type).send(bytes);
}

function hasAlready({ headers }: FastifyRequest, etag: string): boolean {
  return parseIfNoneMatch(headers["if-none-match"])?.matches(etag) ?? false;
}

/** The best variant that the browser accepts. */
function variantFor({ headers }: FastifyRequest, { variants }: ConsoleFile): ConsoleVariant {
  const accepted = acceptedEncodings(headers["accept-encoding"]);
  const found = variants.find(({ encoding }) => encoding === undefined || accepted.has(encoding));
  return found ?? (variants.at(-1) as ConsoleVariant);
}

/** The encodings that an Accept-Encoding header names, without those of quality 0. */
function acceptedEncodings(header: string | string[] | undefined): ReadonlySet<string> {
  const names = String(header ?? "")
    .split(",")
    .map((part) =>
      part
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/),
    )
    .filter(([, quality]) => !/^q=0(\.0*)?$/.test(quality ?? ""))
    .map(([name = ""]) => name);
  return new Set(names);
}
