/** Parts that the routes of the local API share: parameters, permissions, and the age of an answer. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { principalOf, requireWithin } from "#http";
import { Id } from "../api.ts";
import type { HeldServices } from "../held-services.ts";

/** The local API's own guard has identified the caller; each route checks the limits of its token. */
export const OPEN = { action: "open" } as const;
export const TAGS = ["agent"];

export const ServiceParams = Type.Object({ id: Id });

/** @throws HTTP_FORBIDDEN unless the caller's token is for this app */
export function requireApp(request: FastifyRequest, { namespace, app }: { namespace: string; app: string }): void {
  requireWithin(principalOf(request), "apps", { namespace, name: app });
}

/** @throws HTTP_FORBIDDEN when this host has a service of that id which the caller's token is not for */
export function requireService(request: FastifyRequest, services: HeldServices, id: string): void {
  const held = services.claimNameOf(id);
  if (held) requireWithin(principalOf(request), "services", { namespace: held.namespace, name: held.service });
}

/** Sends a known value with its age, and whether it is stale. */
export function sendKnown<Value>(
  reply: FastifyReply,
  { value, stale, ageSeconds }: { value: Value; stale: boolean; ageSeconds: number },
): Value {
  void reply.header("age", String(ageSeconds));
  if (stale) void reply.header("x-posthouse-stale", "true");
  return value;
}
