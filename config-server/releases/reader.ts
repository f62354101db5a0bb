/** The reader of a config, from its request: identity and audience. And whether there is a config to read yet. */
import type { FastifyRequest } from "fastify";
import { HttpErrors, isToldSecrets, principalOf } from "#http";
import type { SetName } from "../api.ts";
import { NOBODY, parseLabels } from "../core/identity.ts";
import type { Reader } from "../core/watch-frames.ts";
import { keyViewFor } from "./key-rights.ts";
import type { ConfigServer } from "./config-server.ts";

/**
 * Only tokens that run an app receive its secrets. An operator reveals a secret by a request that is audited.
 * @throws CONFIG_IDENTITY_INVALID
 */
export function readerOf(
  request: FastifyRequest,
  { namespace, app, profile }: SetName,
  { instance, labels }: { instance?: string | undefined; labels?: string[] | undefined },
): Reader {
  const who =
    instance === undefined && labels === undefined
      ? NOBODY
      : { ...(instance === undefined ? {} : { instance }), labels: parseLabels(labels ?? []) };
  const principal = principalOf(request);
  const audience = isToldSecrets(principal, { namespace, app, profile }) ? "instances" : "others";
  return { who, audience, keys: keyViewFor(principal) };
}

/** A reader that receives no secrets, and does not say which instance it is. */
export function maskedReaderOf(request: FastifyRequest): Reader {
  return { who: NOBODY, audience: "others", keys: keyViewFor(principalOf(request)) };
}

/** @throws HTTP_UNAVAILABLE before the first listing: a server that is not ready must not answer with an empty config */
export function readyRevisionOf({ revision }: ConfigServer): number {
  if (revision === 0) throw HttpErrors.UNAVAILABLE("The config is still being read. Try again shortly.");
  return revision;
}
