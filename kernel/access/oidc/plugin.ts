/** Routes with which a browser signs in by OpenID Connect, and learns which ways of signing in there are. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { type AppError, type Host } from "#base";
import {
  type BadTokens,
  cookieNamed,
  errorOfRequest,
  escapeHtml,
  isForPeople,
  noteRefusal,
  sendPage,
  sendProblem,
  setSessionCookie,
} from "#http";
import { OidcErrors, SignInMethods } from "../api.ts";
import { CONSOLE_HOME } from "../core/return-path.ts";
import { OIDC_CALLBACK_PATH, OIDC_START_PATH, type OidcSignIn } from "./oidc-sign-in.ts";
import { SIGN_IN_STATE_MS } from "./sealed-state.ts";

const METHODS_PATH = "/ui/api/sign-in-methods";
/** The browser sends the cookie of a state below this path only. */
const COOKIE_PATH = "/ui/api/oidc/";
/** Characters of a state that name its cookie, so that two tabs can sign in at once. */
const NAME_LENGTH = 8;
const STATE_FORM = /^[A-Za-z0-9_-]{43}$/;

export interface OidcPluginParts {
  readonly host: Host;
  readonly badTokens: BadTokens;
  /** Absent: not set up. */
  readonly oidc?: OidcSignIn | undefined;
}

export function oidcPlugin(untyped: FastifyInstance, { host, badTokens, oidc }: OidcPluginParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const open = { action: "open" } as const;
  const tags = ["access"];
  app.get(
    METHODS_PATH,
    { config: open, schema: { tags, summary: "Ways of signing in a browser", response: { 200: SignInMethods } } },
    () => ({ token: true, ...(oidc === undefined ? {} : { oidc: { issuer: oidc.issuer, path: OIDC_START_PATH } }) }),
  );
  app.get(
    OIDC_START_PATH,
    {
      config: open,
      schema: {
        tags,
        summary: "Send a browser to the identity provider",
        querystring: Type.Object(
          {
            return: Type.Optional(
              Type.String({ maxLength: 2048, description: "The console's page to open after it; others are ignored." }),
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    (request, reply) =>
      withPage({ host, request, reply }, async () => {
        const { location, state, cookie } = await required(oidc).begin({
          at: request.host,
          returnTo: request.query.return,
        });
        keepState(reply, required(oidc), { state, value: cookie, seconds: SIGN_IN_STATE_MS / 1000 });
        return reply.redirect(location);
      }),
  );
  app.get(
    OIDC_CALLBACK_PATH,
    { config: open, schema: { tags, summary: "Where the identity provider sends the browser back to" } },
    (request, reply) =>
      withPage({ host, request, reply }, async () => {
        const sent = (request.query as { state?: unknown }).state;
        const state = typeof sent === "string" && STATE_FORM.test(sent) ? sent : undefined;
        const cookie = state && cookieNamed(request, stateCookie(required(oidc), state));
        // Good for one answer, whatever comes of it.
        if (state !== undefined) keepState(reply, required(oidc), { state, value: "", seconds: 0 });
        const search = new URL(request.url, "http://callback.invalid").search;
        try {
          const { opened, returnTo } = await required(oidc).finish({ search, cookie, address: request.ip });
          const seconds = Math.floor((opened.session.expiresAtMs - host.clock.now()) / 1000);
          setSessionCookie(reply, { value: opened.cookie, seconds, isTls: required(oidc).isTls });
          return await reply.redirect(returnTo);
        } catch (error) {
          if (OidcErrors.STATE_INVALID.is(error) || OidcErrors.REFUSED.is(error)) badTokens.refuse(request.ip);
          throw error;
        }
      }),
  );
}

/** @throws OIDC_NOT_SET_UP */
function required(oidc: OidcSignIn | undefined): OidcSignIn {
  if (oidc) return oidc;
  throw OidcErrors.NOT_SET_UP(
    "This control plane has no identity provider. An operator sets oidcIssuer and oidcClientId.",
  );
}

function stateCookie({ isTls }: OidcSignIn, state: string): string {
  return `${isTls ? "__Secure-" : ""}posthouse_oidc_${state.slice(0, NAME_LENGTH)}`;
}

/** Lax, because the provider's site sends the browser back. The session's own cookie stays Strict. */
function keepState(
  reply: FastifyReply,
  oidc: OidcSignIn,
  { state, value, seconds }: { readonly state: string; readonly value: string; readonly seconds: number },
): void {
  void reply.header(
    "set-cookie",
    `${stateCookie(oidc, state)}=${value}; Path=${COOKIE_PATH}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${oidc.isTls ? "; Secure" : ""}`,
  );
}

/** A person sees a problem as a page with a way back, and a program as JSON. */
async function withPage(
  { host, request, reply }: { readonly host: Host; readonly request: FastifyRequest; readonly reply: FastifyReply },
  work: () => Promise<FastifyReply>,
): Promise<FastifyReply> {
  // The addresses have codes in them, and the answers are for one browser.
  void reply.header("cache-control", "no-store").header("referrer-policy", "no-referrer");
  try {
    return await work();
  } catch (thrown) {
    const error = errorOfRequest(request, reply, thrown);
    host.log.warn({ code: error.code, address: request.ip, err: error.cause }, `sign-in failed: ${error.message}`);
    return isForPeople(request) ? problemPage(request, reply, error) : sendProblem(host.log, request, reply, error);
  }
}

function problemPage(request: FastifyRequest, reply: FastifyReply, error: AppError): FastifyReply {
  noteRefusal(request, error);
  return sendPage(request, reply.code(error.status), {
    data: {},
    title: error.title,
    html:
      `<p>${escapeHtml(error.message)}</p><p><code>${error.code}</code></p>` +
      `<p><a href="${CONSOLE_HOME}">Back to the sign-in page</a></p>`,
  });
}
