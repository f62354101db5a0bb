/** Routes with which a device asks to sign in, and a person in a browser decides about it. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { Host } from "#base";
import { type BadTokens, BODY_BYTES, type BrowserSession, principalOf } from "#http";
import {
  DeviceDecision,
  DeviceErrors,
  DeviceLoginInfo,
  DeviceLoginRequest,
  DeviceLoginStarted,
  DevicePoll,
  DeviceToken,
  UserCode,
} from "../api.ts";
import type { People } from "../people.ts";
import { type DeviceLogins, tooMany } from "./device-logins.ts";
import { StartsByAddress } from "./starts-by-address.ts";

const LOGINS = "/v1/device-logins";
const tags = ["access"];
const open = { action: "open" } as const;
/** Concerns only the caller, so it needs no action and has no limits. */
const self = { action: "self", about: "nothing" } as const;

export interface DevicePluginParts {
  readonly host: Host;
  readonly people: People;
  readonly logins: DeviceLogins;
  readonly badTokens: BadTokens;
  /** The address of the console as browsers use it; undefined: unknown. */
  readonly publicUrl: () => string | undefined;
}

export function devicePlugin(untyped: FastifyInstance, parts: DevicePluginParts): void {
  deviceRoutes(untyped, parts);
  personRoutes(untyped, parts);
}

/** For the device, which is not known yet. */
function deviceRoutes(untyped: FastifyInstance, { host, logins, badTokens, publicUrl }: DevicePluginParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const starts = new StartsByAddress(host.clock);
  app.post(
    LOGINS,
    {
      config: open,
      onSend: noStore,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Ask for a token that a person confirms in a browser",
        body: DeviceLoginRequest,
        response: { 201: DeviceLoginStarted },
      },
    },
    async (request, reply) => {
      const waitSeconds = starts.mustWait(request.ip);
      if (waitSeconds !== undefined) throw tooMany(`${request.ip} has started too many logins.`);
      const started = await logins.start({ device: request.body.device, address: request.ip });
      const base = publicUrl();
      const { verificationPath } = started;
      return reply.code(201).send({
        ...started,
        ...(base === undefined ? {} : { verificationUrl: new URL(verificationPath, base).href }),
      });
    },
  );
  app.post(
    `${LOGINS}/token`,
    {
      config: open,
      onSend: noStore,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "The token of a confirmed login, once; the device polls it",
        body: DevicePoll,
        response: { 200: DeviceToken },
      },
    },
    async (request) => {
      try {
        return await logins.poll(request.body.deviceCode, request.ip);
      } catch (error) {
        if (DeviceErrors.EXPIRED_TOKEN.is(error)) badTokens.refuse(request.ip);
        throw error;
      }
    },
  );
}

/** For the person, in a browser that is signed in; and for a device that signs out. */
function personRoutes(untyped: FastifyInstance, { people, logins, badTokens }: DevicePluginParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const params = Type.Object({ userCode: UserCode });
  /** A wrong code counts like a wrong token, so that trying all of them takes too long. */
  const counted = async <T>(request: FastifyRequest, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (DeviceErrors.NOT_FOUND.is(error)) badTokens.refuse(request.ip);
      throw error;
    }
  };
  app.get(
    `${LOGINS}/:userCode`,
    {
      config: self,
      onSend: noStore,
      schema: { tags, summary: "A login that waits for a decision", params, response: { 200: DeviceLoginInfo } },
    },
    (request) => counted(request, () => logins.info(request.params.userCode, browserOf(request).expiresAtMs)),
  );
  app.post(
    `${LOGINS}/:userCode/decision`,
    {
      config: self,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Confirm or deny the login of a device",
        params,
        body: DeviceDecision,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await counted(request, () => logins.decide(request.params.userCode, browserOf(request), request.body.allow));
      return reply.code(204).send(null);
    },
  );
  app.delete(
    "/v1/me/token",
    {
      config: self,
      schema: {
        tags,
        summary: "Sign out: ends the caller's own token, if a login made it",
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await people.endOwn(principalOf(request));
      return reply.code(204).send(null);
    },
  );
}

/** A person decides in a browser. A program that could decide would make the question pointless. @throws DEVICE_NOT_ALLOWED */
function browserOf(request: FastifyRequest): BrowserSession {
  if (request.session) return request.session;
  throw DeviceErrors.NOT_ALLOWED(
    `"${principalOf(request).name}" is not a browser that has signed in, and only a person at a browser decides about a login.`,
  );
}

async function noStore(_request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  void reply.header("cache-control", "no-store");
  return payload;
}
