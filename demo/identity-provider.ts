/**
 * A real OpenID provider on loopback for trials: issues JWT access tokens for the client credentials `demo` and `demo-secret`. Its keys are
 * created at the start and end with the process.
 */
import { parseArgs } from "node:util";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

/** The audience of the tokens, which a gateway requires. */
const RESOURCE = "urn:posthouse:orders";

const { values } = parseArgs({ options: { port: { type: "string", default: "4000" } } });
const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const signingKey = await exportJWK(privateKey);
/** A unique key id for each key, so that clients that cache keys by id notice a restart. */
const kid = await calculateJwkThumbprint(signingKey);
const issuer = `http://127.0.0.1:${values.port}`;
const Provider = await quietly(async () => (await import("oidc-provider")).Provider);
const provider = await quietly(
  () =>
    new Provider(issuer, {
      clients: [
        {
          client_id: "demo",
          client_secret: "demo-secret",
          grant_types: ["client_credentials"],
          redirect_uris: [],
          response_types: [],
          id_token_signed_response_alg: "ES256",
        },
      ],
      jwks: { keys: [{ ...signingKey, kid, alg: "ES256", use: "sig" }] },
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => RESOURCE,
          getResourceServerInfo: () => ({
            audience: RESOURCE,
            scope: "orders:read orders:write",
            accessTokenFormat: "jwt",
            accessTokenTTL: 300,
            jwt: { sign: { alg: "ES256" } },
          }),
        },
      },
    }),
);
provider.listen(Number(values.port), "127.0.0.1", () => process.stdout.write(`identity provider on ${values.port}\n`));

/** The library warns about state in memory, and about a Node version that it does not know. Both are intended here. */
async function quietly<T>(make: () => T | Promise<T>): Promise<T> {
  const { warn } = console;
  console.warn = () => {};
  try {
    return await make();
  } finally {
    console.warn = warn;
  }
}
