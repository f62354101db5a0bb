/**
 * A real OpenID provider on loopback for trying things out: gives out JWT access tokens for the client credentials
 * `demo` and `demo-secret`. Its keys are made when it starts and end with it.
 */
import { parseArgs } from "node:util";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";

/** What tokens are for: the audience that a gateway asks for. */
const RESOURCE = "urn:posthouse:orders";

const { values } = parseArgs({ options: { port: { type: "string", default: "4000" } } });
const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const signingKey = await exportJWK(privateKey);
/** A key id of its own for each key: whoever caches keys by id then notices a restart. */
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

/** The library warns that state in memory is lost, and of a Node newer than it knows: both are meant to be so here. */
async function quietly<T>(make: () => T | Promise<T>): Promise<T> {
  const { warn } = console;
  console.warn = () => {};
  try {
    return await make();
  } finally {
    console.warn = warn;
  }
}
