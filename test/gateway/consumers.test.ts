/** Consumers by the claims of a token, with real keys: who they are to services, limits and explanations; and CORS around it. */
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { exportJWK, SignJWT } from "jose";
import { expect, test } from "vitest";
import { builtInFilters, createGateway, noControlPlane } from "#gateway";
import { eventually, tempFolder, testHost, hangSignal } from "#test/kit";
import { Explainer } from "../../gateway/explain/explainer.ts";
import { ask, world } from "./echo.ts";
import { baseSettings, instance, runGateway, upstream } from "./kit.ts";

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });

async function identityProvider() {
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "ES256", use: "sig" };
  return upstream((_request, response) => void response.end(JSON.stringify({ keys: [jwk] })));
}

function tokenOf(claims: object): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ iss: "https://i.example", aud: "a", sub: "x", iat: now, exp: now + 300, ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .sign(pair.privateKey);
}

const configOf = (keysPort: number) => ({
  jwt: [
    {
      name: "idp",
      issuer: "https://i.example",
      audience: ["a"],
      algorithms: ["ES256"],
      jwks: { url: `http://127.0.0.1:${keysPort}/` },
    },
  ],
  consumers: [
    { name: "acme", groups: ["gold"], jwt: [{ provider: "idp", claim: "/org/id", value: "org-1" }] },
    { name: "other", jwt: [{ provider: "idp", value: "by-subject" }] },
  ],
  routes: [
    {
      name: "r",
      match: { path: { prefix: "/" } },
      service: "orders",
      jwt: { provider: "idp" },
      cors: { origins: ["https://app.example"] },
      filters: [{ name: "consumer-acl", config: { deny: { consumers: ["other"] } } }],
      requestHeaders: { set: { "x-org": "{claim./org/id}" } },
    },
  ],
});

test("a token's claim names the consumer; unknown and denied consumers get a refusal with CORS headers", async () => {
  await using keys = await identityProvider();
  await using running = await world(configOf(keys.port));
  const origin = "https://app.example";
  const of = async (claims: object) =>
    running.ask("/", {
      headers: { authorization: `Bearer ${await tokenOf(claims)}`, origin, "x-consumer-groups": "root" },
    });
  const acme = await of({ org: { id: "org-1" } });
  expect(acme.seen.headers).toMatchObject({ "x-consumer-name": "acme", "x-consumer-groups": "gold", "x-org": "org-1" });
  for (const claims of [{ sub: "by-subject" }, { sub: "stranger" }]) {
    const refused = await of(claims);
    expect([refused.status, refused.headers["access-control-allow-origin"]]).toEqual([403, origin]);
  }
  const preflight = { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } };
  expect((await running.ask("/", preflight)).status).toBe(204);
  const without = await running.ask("/", { headers: { origin } });
  expect([without.status, without.headers["access-control-allow-origin"]]).toEqual([401, origin]);
});

test("an explanation checks the token as a gateway does, and tells none of it again", async () => {
  await using keys = await identityProvider();
  const config = async () => JSON.stringify(configOf(keys.port));
  const explainer = new Explainer(testHost(), { client: undefined, filters: builtInFilters, config });
  const token = await tokenOf({ org: { id: "org-1" } });
  const explained = (value: string) =>
    explainer.explain({ url: "http://a.example/", headers: [{ name: "Authorization", value }] });
  const good = await explained(`Bearer ${token}`);
  expect(good.steps.map(({ step, verdict, detail }) => [step, verdict, detail])).toEqual([
    ["jwt", "pass", "consumer acme"],
    ["filter", "pass", "consumer-acl"],
  ]);
  expect(good.outcome).toMatchObject({ kind: "refuse", code: "GATEWAY_NO_ENDPOINT" });
  const forged = await explained(`Bearer ${token.slice(0, -4)}AAAA`);
  expect(forged.outcome).toMatchObject({ code: "GATEWAY_TOKEN_INVALID" });
  expect(forged.steps).toEqual([{ step: "jwt", verdict: "refuse", detail: "The bearer token is not valid here." }]);
  expect(JSON.stringify([good, forged])).not.toContain(token.slice(0, 20));
});

test("a start without a control plane has consumers, hints and filters as they were", async () => {
  await using folder = await tempFolder();
  await using service = await upstream((request, response) => void response.end(request.url));
  const dataFile = join(folder.path, "state.json");
  const config = {
    hints: [
      {
        service: "orders",
        within: ["/hinted"],
        filters: [{ name: "ip-restriction", config: { allow: ["127.0.0.1"] } }],
      },
    ],
  };
  {
    await using running = await runGateway(config, [instance(service.port)], { dataFile });
    running.plane.catalog.send("delta", {
      namespace: "default",
      service: "orders",
      instances: [],
      removed: [],
      panic: false,
      gateway: { pathPrefixes: ["/hinted"] },
    });
    await eventually("the hint is a route", async () => (await ask(running.ports.httpPort, "/hinted")).status === 200);
  }
  await using gateway = createGateway(testHost(), { client: noControlPlane, settings: { ...baseSettings, dataFile } });
  await gateway.ready(hangSignal());
  const { httpPort } = await gateway.listen();
  expect((await ask(httpPort, "/hinted/x")).text).toBe("/hinted/x");
  expect(gateway.status()).toMatchObject({ source: "file", routes: 1 });
});
