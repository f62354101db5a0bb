/** Routes with which a caller signs in a browser, ends the session, makes a link for another browser, and learns what it may do. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { Host } from "#base";
import {
  actionsOf,
  type BadTokens,
  BODY_BYTES,
  type BrowserSession,
  clearSessionCookie,
  HttpErrors,
  type Principal,
  principalOf,
  requireSameOrigin,
  sessionCookieOf,
  setSessionCookie,
} from "#http";
import type { Access } from "./access.ts";
import { rightsText } from "./acl-check.ts";
import { AccessErrors, CallerInfo, SessionInfo, SignInLink, SignInRequest } from "./api.ts";
import type { OpenedSession } from "./sign-ins.ts";
import { tokenLimits } from "./token-record.ts";

const SESSION_PATH = "/ui/api/session";
/** Concerns only the caller, so it needs no action and has no limits. */
const self = { action: "self", about: "nothing" } as const;
const tags = ["access"];

/** The page that signs in with a code. Browsers keep what follows a # to themselves, so the code is in no log of a proxy. */
export function signInPath(code: string): string {
  return `/ui/#/signin?code=${code}`;
}

export function signInPlugin(
  untyped: FastifyInstance,
  { host, access, badTokens }: { readonly host: Host; readonly access: Access; readonly badTokens: BadTokens },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.post(
    SESSION_PATH,
    {
      config: { action: "open" },
      onSend: noStore,
      bodyLimit: BODY_BYTES.command,
      schema: { tags, summary: "Sign in a browser", body: SignInRequest, response: { 201: SessionInfo } },
    },
    async (request, reply) => {
      // Otherwise a page of another origin could sign a browser in as somebody else.
      requireSameOrigin(request);
      const { cookie, session } = await opened(access, request).catch((error: unknown) => {
        if (isBadCredential(error)) badTokens.refuse(request.ip);
        throw error;
      });
      const seconds = Math.floor((session.expiresAtMs - host.clock.now()) / 1000);
      setSessionCookie(reply, { value: cookie, seconds });
      return reply.code(201).send(sessionInfo(session));
    },
  );
  app.get(
    SESSION_PATH,
    {
      config: self,
      onSend: noStore,
      schema: { tags, summary: "The session of this browser", response: { 200: SessionInfo } },
    },
    (request) => sessionInfo(sessionOf(request)),
  );
  app.delete(
    SESSION_PATH,
    { config: self, schema: { tags, summary: "Sign out", response: { 204: Type.Null() } } },
    async (request, reply) => {
      sessionOf(request);
      await access.signIns.close(sessionCookieOf(request) ?? "");
      clearSessionCookie(reply);
      return reply.code(204).send(null);
    },
  );
  callerRoutes(untyped, access);
}

function callerRoutes(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    "/v1/me",
    {
      config: self,
      onSend: noStore,
      schema: { tags, summary: "The caller, and what it may do", response: { 200: CallerInfo } },
    },
    (request) => {
      const principal = principalOf(request);
      return { ...callerInfo(principal), rights: rightsText(principal.policies, access.book) };
    },
  );
  app.post(
    "/v1/sign-in-links",
    {
      config: self,
      onSend: noStore,
      schema: {
        tags,
        summary: "Make a link that signs in a browser once, as the caller",
        response: { 201: SignInLink },
      },
    },
    async (request, reply) => {
      const { tokenId, name } = principalOf(request);
      // A session that could make sessions would never have to end.
      if (request.session !== null || tokenId === undefined) {
        throw AccessErrors.LINK_NOT_ALLOWED(
          `"${name}" did not call with a stored token, and only such a token can make a sign-in link: posthouse console`,
        );
      }
      const { code, expiresAtMs } = await access.signIns.link(tokenId);
      const expiresAt = new Date(expiresAtMs).toISOString();
      return reply.code(201).send({ code, path: signInPath(code), expiresAt });
    },
  );
}

/** Responses that contain secrets, or that change when the caller does, stay out of caches. */
async function noStore(_request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  void reply.header("cache-control", "no-store");
  return payload;
}

async function opened(
  access: Access,
  { body: { token, code }, ip }: { readonly body: SignInRequest; readonly ip: string },
): Promise<OpenedSession> {
  if (code !== undefined) return access.signIns.redeem(code, ip);
  const { tokenId } = await access.authenticate(token ?? "");
  if (tokenId === undefined) throw HttpErrors.TOKEN_INVALID("A token of this process cannot sign in a browser.");
  return access.signIns.open(tokenId, "token", ip);
}

function isBadCredential(error: unknown): boolean {
  return [HttpErrors.TOKEN_INVALID, HttpErrors.TOKEN_EXPIRED, AccessErrors.CODE_INVALID].some((row) => row.is(error));
}

/** @throws HTTP_SESSION_INVALID for a caller that is not a browser */
function sessionOf({ session }: FastifyRequest): BrowserSession {
  if (session) return session;
  throw HttpErrors.SESSION_INVALID("The caller is not a browser that has signed in. POST /ui/api/session signs in.");
}

function sessionInfo({ principal, csrf, expiresAtMs }: BrowserSession): SessionInfo {
  return { ...callerInfo(principal), csrf, expiresAt: new Date(expiresAtMs).toISOString() };
}

function callerInfo(principal: Principal): Omit<CallerInfo, "rights"> {
  const { name, policies, limits, expiresAtMs, tokenId } = principal;
  return {
    name,
    ...(tokenId === undefined ? {} : { tokenId }),
    policies: [...policies],
    actions: [...actionsOf(principal)],
    ...(limits === undefined ? {} : { limits: tokenLimits(limits) }),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
  };
}
