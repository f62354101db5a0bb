/** Providers whose keys are found by their issuer: a real OpenID provider, and answers that none should give. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { expect, test, vi } from "vitest";
import { parseGatewayConfig } from "#gateway";
import { instance, problemOf, runGateway, upstream } from "./kit.ts";

const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
const about = { kid: "k1", alg: "ES256", use: "sig" };

/** A server on loopback whose answers need to know its address. */
async function served(make: (url: string) => Promise<(request: IncomingMessage, response: ServerResponse) => unknown>) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.on("request", await make(url));
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A gateway that knows the issuer only. The answer to a token of it. */
async function asked(issuer: string) {
  await using service = await upstream();
  const config = {
    jwt: [{ name: "idp", issuer, audience: ["orders"], algorithms: ["ES256" as const] }],
    routes: [{ name: "in", match: { path: { prefix: "/" } }, service: "orders", jwt: { provider: "idp" } }],
  };
  await using running = await runGateway(config, [instance(service.port)]);
  const claims = new SignJWT({ iss: issuer, aud: "orders", sub: "ann" }).setIssuedAt().setExpirationTime("5m");
  const token = await claims.setProtectedHeader({ alg: "ES256", kid: "k1" }).sign(privateKey);
  const response = await fetch(running.url, { headers: { authorization: `Bearer ${token}` } });
  return response.ok ? response.status : (await problemOf(response)).code;
}

test("the keys of a real OpenID provider are found by its issuer", async () => {
  // The library warns that its state is in memory, which is meant here.
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  await using idp = await served(async (url) => {
    const { Provider } = await import("oidc-provider");
    return new Provider(url, { jwks: { keys: [{ ...(await exportJWK(privateKey)), ...about }] } }).callback();
  });
  expect(await asked(idp.url)).toBe(200);
  warn.mockRestore();
});

test.for<[string, string, (url: string) => object, number | string]>([
  ["an issuer with a path", "/realms/a", (url) => ({ issuer: `${url}/realms/a`, jwks_uri: `${url}/keys` }), 200],
  ["an issuer that ends in a slash", "/", (url) => ({ issuer: `${url}/`, jwks_uri: `${url}/keys` }), 200],
  ["another issuer", "", (url) => ({ issuer: `${url}/`, jwks_uri: `${url}/keys` }), "GATEWAY_KEYS_UNAVAILABLE"],
  ["no issuer", "", (url) => ({ jwks_uri: `${url}/keys` }), "GATEWAY_KEYS_UNAVAILABLE"],
  ["no keys", "", (url) => ({ issuer: url }), "GATEWAY_KEYS_UNAVAILABLE"],
  ["a list", "", () => [], "GATEWAY_KEYS_UNAVAILABLE"],
  ["keys of a file", "", (url) => ({ issuer: url, jwks_uri: "file:///keys" }), "GATEWAY_KEYS_UNAVAILABLE"],
])("a discovery with %s", async ([, path, document, wanted]) => {
  await using idp = await served(async (url) => {
    const keys = { keys: [{ ...(await exportJWK(publicKey)), ...about }] };
    const pages: Record<string, object> = {
      [`${path === "/" ? "" : path}/.well-known/openid-configuration`]: document(url),
      "/keys": keys,
    };
    return (request, response) => {
      const page = pages[request.url ?? ""];
      response.writeHead(page ? 200 : 404).end(JSON.stringify(page ?? {}));
    };
  });
  expect(await asked(`${idp.url}${path}`)).toBe(wanted);
});

test.each([
  ["not a URL", "idp"],
  ["in the clear", "http://idp.example"],
  ["a metadata address", "https://169.254.169.254"],
  ["with a password", "https://a:b@idp.example"],
  ["with a query", "https://idp.example?x=1"],
  ["with a fragment", "https://idp.example#x"],
])("an issuer that is %s needs a URL of its keys", (_, issuer) => {
  const provider = { name: "idp", issuer, audience: ["x"], algorithms: ["ES256"] };
  expect(parseGatewayConfig(JSON.stringify({ jwt: [provider] })).problems).toMatchObject([
    { pointer: "/jwt/0/issuer" },
  ]);
  const jwks = { url: "https://idp.example/keys" };
  expect(parseGatewayConfig(JSON.stringify({ jwt: [{ ...provider, jwks }] })).problems).toEqual([]);
});
