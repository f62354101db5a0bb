/** New tokens and secrets. They are long and random, so a plain SHA-256 is stored: impossible to guess, and cheap to check. */
import { hash as digest } from "node:crypto";
import { randomId, type Host } from "#base";
import type { TokenRequest } from "./api.ts";
import { appsOf, type TokenRecord } from "./token-record.ts";

/** Random bytes of an id and of a secret. */
const ID_BYTES = 8;
const SECRET_BYTES = 32;

/** One call for speed: every request is authenticated, and an incremental hash costs several times as much. */
export const secretHash = (secret: string): Buffer => digest("sha256", secret, "buffer");

export function newSecret(host: Host): { readonly secret: string; readonly sha256: string } {
  const secret = randomId(host.random, SECRET_BYTES);
  return { secret, sha256: secretHash(secret).toString("hex") };
}

export interface NewToken {
  readonly id: string;
  /** Shown once. */
  readonly token: string;
  readonly record: TokenRecord;
}

export function newToken(host: Host, { name, policies, ttlSeconds, ...limits }: TokenRequest): NewToken {
  const id = randomId(host.random, ID_BYTES);
  const { secret, sha256 } = newSecret(host);
  const createdAtMs = host.clock.now();
  const apps = appsOf(policies, limits.apps);
  const record: TokenRecord = {
    name,
    policies,
    ...limits,
    ...(apps === undefined ? {} : { apps }),
    format: 2,
    sha256,
    createdAtMs,
    ...(ttlSeconds === undefined ? {} : { expiresAtMs: createdAtMs + ttlSeconds * 1000 }),
  };
  return { id, token: `ph_${id}_${secret}`, record };
}
