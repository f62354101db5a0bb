/**
 * Which callers are accepted: tokens of a real key pair, checked with keys fetched over a real socket, good ones and
 * forged ones.
 */
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { exportJWK, SignJWT, type JWK } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OwnListeners } from "#base/address-class";
import { DialGuard } from "#base/dial";
import { ManualClock, testHost } from "#test/kit";
import { KEYS_AGE_MS, KEYS_COOLDOWN_MS, KEYS_STALE_MS } from "../../gateway/tokens/jwks.ts";
import { CANDIDATE_KEYS_MAX, TokenVerifier } from "../../gateway/tokens/jwt.ts";
import { instance, problemOf, runGateway, sendRaw, upstream, type Running, type Upstream } from "./kit.ts";

const issuer = "https://idp.example";
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const other = generateKeyPairSync("ec", { namedCurve: "P-256" });

async function jwkOf(key: KeyObject, kid: string): Promise<JWK> {
  return { ...(await exportJWK(key)), kid, alg: "ES256", use: "sig" };
}

/** An identity provider's key endpoint whose answer can be changed, and broken. */
async function keyServer() {
  const state = { keys: [await jwkOf(pair.publicKey, "k1")], status: 200 };
  const server = await upstream((_request, response) => {
    response.statusCode = state.status;
    response.end(JSON.stringify({ keys: state.keys }));
  });
  return { ...server, state, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const now = () => Math.floor(Date.now() / 1000);

function token(claims: object = {}, header: object = {}, key: KeyObject = pair.privateKey): Promise<string> {
  return new SignJWT({ iss: issuer, aud: "orders", sub: "ann", iat: now(), exp: now() + 300, ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k1", ...header })
    .sign(key);
}

/** A token whose payload is this very text, signed well. */
async function tokenOfText(payload: string, header = '{"alg":"ES256","kid":"k1"}'): Promise<string> {
  const encode = (text: string) => Buffer.from(text).toString("base64url");
  const signed = `${encode(header)}.${encode(payload)}`;
  const { sign } = await import("node:crypto");
  return `${signed}.${sign("sha256", Buffer.from(signed), { key: pair.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const provider = (port: number, over: object = {}) => ({
  name: "idp",
  issuer,
  audience: ["orders"],
  algorithms: ["ES256" as const],
  jwks: { url: `http://127.0.0.1:${port}/jwks` },
  ...over,
});

let keys: Awaited<ReturnType<typeof keyServer>>;
let service: Upstream;
let running: Running;

beforeAll(async () => {
  keys = await keyServer();
  service = await upstream();
  const jwt = { provider: "idp", forwardClaims: { sub: "X-User", scope: "x-scope", "/deep/role": "x-role" } };
  running = await runGateway(
    {
      jwt: [provider(keys.port)],
      routes: [
        { name: "any", match: { path: { prefix: "/" } }, service: "orders" },
        { name: "in", match: { path: { prefix: "/in" } }, service: "orders", jwt },
        {
          name: "acl",
          match: { path: { prefix: "/acl" } },
          service: "orders",
          jwt,
          acl: {
            allow: [
              { name: "readers", claim: "scope", contains: "orders:read" },
              {
                all: [
                  { claim: "role", anyOf: ["admin"] },
                  { claim: "team", contains: "red" },
                ],
              },
            ],
          },
        },
      ],
    },
    [instance(service.port)],
  );
});

afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
  await keys[Symbol.asyncDispose]();
});

const call = (path: string, bearer: string, headers: Record<string, string> = {}) =>
  fetch(`${running.url}${path}`, { headers: { ...headers, authorization: `Bearer ${bearer}` } });

test("a good token lets in, and its claims replace what the client claimed", async () => {
  const bearer = await token({ scope: "a b", deep: { role: ["x,y", "z\r\nq: 1"] } });
  const response = await call("/in", bearer, { "x-user": "root", "X-Role": "root", X_User: "root" });
  expect(response.status).toBe(200);
  const seen = service.requests.at(-1)?.headers;
  expect([seen?.["x-user"], seen?.["x-scope"], seen?.["x-role"]]).toEqual(["ann", "a b", "x%2Cy,z%0D%0Aq: 1"]);
  expect(seen?.["x_user"]).toBeUndefined();
});

test("identity headers of the client are removed on routes without a token, too", async () => {
  await fetch(`${running.url}/`, { headers: { "x-user": "root", "x-role": "root" } });
  const seen = service.requests.at(-1)?.headers;
  expect([seen?.["x-user"], seen?.["x-role"]]).toEqual([undefined, undefined]);
});

test("a missing token is 401 with a challenge", async () => {
  const response = await fetch(`${running.url}/in`);
  expect(response.headers.get("www-authenticate")).toBe("Bearer");
  expect(response.headers.get("x-posthouse-flag")).toBe("AU");
  expect(await problemOf(response)).toMatchObject({ status: 401, code: "GATEWAY_TOKEN_MISSING" });
});

test("an expired token says so; clocks may differ by the tolerance", async () => {
  const response = await call("/in", await token({ exp: now() - 31, iat: now() - 400 }));
  expect(response.headers.get("www-authenticate")).toContain('error="invalid_token"');
  expect((await problemOf(response)).code).toBe("GATEWAY_TOKEN_EXPIRED");
  expect((await call("/in", await token({ exp: now() - 10, iat: now() - 400 }))).status).toBe(200);
});

const hmac = () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "HS256", kid: "k1" })}.${encode({ iss: issuer, aud: "orders", sub: "ann", iat: now(), exp: now() + 99 })}`;
  const pem = pair.publicKey.export({ type: "spki", format: "pem" });
  return `${signed}.${createHmac("sha256", pem).update(signed).digest("base64url")}`;
};
const unsigned = (alg: string) => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${encode({ alg })}.${encode({ iss: issuer, aud: "orders", sub: "ann", iat: now(), exp: now() + 99 })}.`;
};
const text = (rest: string) => `{"iss":"${issuer}","aud":"orders","iat":${now()},${rest}}`;

const forged: [string, () => Promise<string> | string][] = [
  ["alg none", () => unsigned("none")],
  ["alg nOnE", () => unsigned("nOnE")],
  ["HS256 with the public key", hmac],
  ["another key", () => token({}, {}, other.privateKey)],
  ["an embedded key", async () => token({}, { jwk: await exportJWK(other.publicKey) }, other.privateKey)],
  ["a key URL of its own", () => token({}, { jku: "http://127.0.0.1:9/", kid: "evil" }, other.privateKey)],
  ["a kid with a path", () => token({}, { kid: "../../dev/null" }, other.privateKey)],
  ["another issuer", () => token({ iss: "https://evil.example" })],
  ["another audience", () => token({ aud: ["other"] })],
  ["no exp", () => tokenOfText(text(`"sub":"ann"`))],
  ["exp without end", () => tokenOfText(text(`"sub":"ann","exp":1e400`))],
  ["exp as text", () => tokenOfText(text(`"sub":"ann","exp":"${now() + 99}"`))],
  ["no sub", () => tokenOfText(text(`"exp":${now() + 99}`))],
  ["no iat", () => tokenOfText(`{"iss":"${issuer}","aud":"orders","sub":"ann","exp":${now() + 99}}`)],
  ["iat in the future", () => token({ iat: now() + 120 })],
  ["nbf in the future", () => token({ nbf: now() + 120 })],
  ["a claim named twice", () => tokenOfText(text(`"sub":"ann","exp":${now() + 99},"sub":"root"`))],
  ["a claim named twice by an escape", () => tokenOfText(text(`"sub":"ann","exp":${now() + 99},"s\\u0075b":"root"`))],
  [
    "a header named twice",
    () => tokenOfText(text(`"sub":"ann","exp":${now() + 99}`), '{"alg":"ES256","kid":"k1","alg":"ES256"}'),
  ],
  ["typ dpop+jwt", () => token({}, { typ: "dpop+jwt" })],
  ["typ logout+jwt", () => token({}, { typ: "logout+jwt" })],
  [
    "b64 false",
    () => tokenOfText(text(`"sub":"ann","exp":${now() + 99}`), '{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}'),
  ],
  [
    "an unknown crit",
    () => tokenOfText(text(`"sub":"ann","exp":${now() + 99}`), '{"alg":"ES256","kid":"k1","crit":["x"],"x":1}'),
  ],
  ["9 KiB", () => token({ pad: "x".repeat(9 * 1024) })],
  ["five parts", () => "a.b.c.d.e"],
  ["no JSON", () => "YQ.YQ.YQ"],
  ["nothing", () => ""],
];

test.for(forged)("a token with %s is 401 with the same words as any other", async ([, make]) => {
  const before = service.requests.length;
  const response = await call("/in", await make());
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
  expect(await response.json()).toEqual({
    type: "urn:posthouse:error:GATEWAY_TOKEN_INVALID",
    title: "Token not valid",
    status: 401,
    detail: "The bearer token is not valid here.",
    instance: "/in",
    code: "GATEWAY_TOKEN_INVALID",
  });
  expect(service.requests.length).toBe(before);
});

test("a token with something behind it is not a token", async () => {
  const bearer = await token();
  const port = running.ports.httpPort;
  const answer = await sendRaw(
    port,
    `GET /in HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${bearer} x\r\nconnection: close\r\n\r\n`,
  );
  expect(answer.status).toBe(401);
});

test("at+jwt is an access token's type", async () => {
  expect((await call("/in", await token({}, { typ: "at+jwt" }))).status).toBe(200);
});

test("an access rule lets in by any entry, all rules of one entry, and names itself in the refusal", async () => {
  expect((await call("/acl", await token({ scope: "x orders:read" }))).status).toBe(200);
  expect((await call("/acl", await token({ role: ["user", "admin"], team: "red" }))).status).toBe(200);
  const cases = [
    {},
    { scope: "orders:readx" },
    { role: "admin" },
    { role: "super admin", team: "red" },
    { scope: ["x"] },
  ];
  for (const claims of cases) {
    const response = await call("/acl", await token(claims));
    expect(response.headers.get("x-posthouse-flag")).toBe("AD");
    expect(response.headers.get("www-authenticate")).toBe('Bearer error="insufficient_scope"');
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ status: 403, code: "GATEWAY_ACCESS_DENIED" });
    expect(problem.detail).toContain("readers");
    expect(problem.detail).not.toContain("admin");
  }
});

test("tokens and claims never reach the log", async () => {
  const bearer = await token({ sub: "very-secret-subject" });
  await call("/in", bearer);
  await call("/in", `${bearer}x`);
  const lines = JSON.stringify(running.host.log.lines);
  expect(lines).not.toContain(bearer.split(".")[1]);
  expect(lines).not.toContain("very-secret-subject");
});

test("keys that cannot be fetched at all are 503 KU, and the first that can be serve at once", async () => {
  await using broken = await keyServer();
  broken.state.status = 503;
  await using gated = await runGateway(
    {
      jwt: [provider(broken.port)],
      routes: [{ name: "in", match: { path: { prefix: "/" } }, service: "orders", jwt: { provider: "idp" } }],
    },
    [instance(service.port)],
  );
  const headers = { authorization: `Bearer ${await token()}` };
  const response = await fetch(gated.url, { headers });
  expect(response.headers.get("x-posthouse-flag")).toBe("KU");
  expect(response.headers.get("retry-after")).toBe("5");
  expect((await problemOf(response)).code).toBe("GATEWAY_KEYS_UNAVAILABLE");
  broken.state.status = 200;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect((await fetch(gated.url, { headers })).status).toBe(200);
});

async function verifierWith(server: { port: number }, clock = new ManualClock(Date.now())) {
  const verifier = new TokenVerifier(
    testHost({ clock }),
    new DialGuard({ loopback: true, own: new OwnListeners(() => []) }),
  );
  verifier.use([provider(server.port)]);
  return { verifier, clock, [Symbol.asyncDispose]: () => verifier[Symbol.asyncDispose]() };
}

test("500 tokens with invented key ids become one more fetch, and none within the cooldown", async () => {
  await using server = await keyServer();
  await using made = await verifierWith(server);
  const { verifier, clock } = made;
  expect((await verifier.verify("idp", await token())).claims?.["sub"]).toBe("ann");
  expect(server.requests).toHaveLength(1);
  const invented = await Promise.all(
    Array.from({ length: 500 }, (_, i) => token({}, { kid: `no-${i}` }, other.privateKey)),
  );
  const verdicts = await Promise.all(invented.map((one) => verifier.verify("idp", one)));
  expect(new Set(verdicts.map(({ error }) => error))).toEqual(new Set(["TOKEN_INVALID"]));
  expect(server.requests.length).toBeLessThanOrEqual(2);
  await clock.advance(KEYS_COOLDOWN_MS * 1.2);
  await Promise.all(invented.map((one) => verifier.verify("idp", one)));
  expect(server.requests.length).toBeLessThanOrEqual(3);
});

test("while the provider is away the old keys serve for a day, and no longer", async () => {
  await using server = await keyServer();
  await using made = await verifierWith(server);
  const { verifier, clock } = made;
  const long = await token({ exp: now() + 200_000 });
  expect((await verifier.verify("idp", long)).error).toBeUndefined();
  server.state.status = 503;
  await clock.advance(KEYS_AGE_MS * 2);
  for (let i = 0; i < 50; i++) expect((await verifier.verify("idp", long)).error).toBeUndefined();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(server.requests.length).toBeLessThanOrEqual(2);
  await clock.advance(KEYS_STALE_MS);
  expect((await verifier.verify("idp", long)).error).toBe("KEYS_UNAVAILABLE");
});

test("a new key is found when its first token comes, and a withdrawn key ends what it signed", async () => {
  await using server = await keyServer();
  await using made = await verifierWith(server);
  const { verifier, clock } = made;
  const old = await token();
  await verifier.verify("idp", old);
  expect(verifier.get("idp", old, clock.now())).toBeDefined();
  server.state.keys = [await jwkOf(other.publicKey, "k2")];
  await clock.advance(KEYS_COOLDOWN_MS * 1.2);
  const fresh = await token({}, { kid: "k2" }, other.privateKey);
  expect((await verifier.verify("idp", fresh)).error).toBeUndefined();
  expect(verifier.get("idp", old, clock.now())).toBeUndefined();
  expect((await verifier.verify("idp", old)).error).toBe("TOKEN_INVALID");
});

test("a verified token is remembered for a minute, and never past its end", async () => {
  await using server = await keyServer();
  await using made = await verifierWith(server);
  const { verifier, clock } = made;
  const start = clock.now();
  const short = await token({ exp: now() + 10 });
  const long = await token({ exp: now() + 1000 });
  await verifier.verify("idp", short);
  await verifier.verify("idp", long);
  expect(verifier.get("idp", short, start + 39_000)).toBeDefined();
  expect(verifier.get("idp", short, start + 41_000)).toBeUndefined();
  expect(verifier.get("idp", long, start + 59_000)).toBeDefined();
  expect(verifier.get("idp", long, start + 60_001)).toBeUndefined();
  expect(verifier.get("other", long, start)).toBeUndefined();
});

test("a token without a key id is checked by the keys that may be its own, also after a rotation", async () => {
  await using server = await keyServer();
  const keyless = (key: KeyObject) => token({}, { kid: undefined }, key);
  server.state.keys = [await jwkOf(other.publicKey, "k0"), await jwkOf(pair.publicKey, "k1")];
  await using made = await verifierWith(server);
  const { verifier, clock } = made;
  for (const key of [pair.privateKey, other.privateKey]) {
    expect((await verifier.verify("idp", await keyless(key))).claims?.["sub"]).toBe("ann");
  }
  const rotated = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect((await verifier.verify("idp", await keyless(rotated.privateKey))).error).toBe("TOKEN_INVALID");
  server.state.keys = [await jwkOf(rotated.publicKey, "k2")];
  await clock.advance(KEYS_COOLDOWN_MS * 2);
  expect((await verifier.verify("idp", await keyless(rotated.privateKey))).claims?.["sub"]).toBe("ann");
  expect((await verifier.verify("idp", await keyless(pair.privateKey))).error).toBe("TOKEN_INVALID");
});

test("of many keys that may be a token's own a bounded number is tried", async () => {
  await using server = await keyServer();
  const strangers = Array.from({ length: CANDIDATE_KEYS_MAX }, () =>
    generateKeyPairSync("ec", { namedCurve: "P-256" }),
  );
  const jwks = await Promise.all(strangers.map(({ publicKey }, at) => jwkOf(publicKey, `s${at}`)));
  const keyless = await token({}, { kid: undefined });
  for (const [before, good] of [
    [CANDIDATE_KEYS_MAX - 1, true],
    [CANDIDATE_KEYS_MAX, false],
  ] as const) {
    server.state.keys = [...jwks.slice(0, before), await jwkOf(pair.publicKey, "k1")];
    await using made = await verifierWith(server);
    expect((await made.verifier.verify("idp", keyless)).claims !== undefined).toBe(good);
  }
});

test("which claims a token must have is the provider's setting; exp always is one", async () => {
  await using server = await keyServer();
  await using made = await verifierWith(server);
  const { verifier } = made;
  const verdict = async (claims: object) => (await verifier.verify("idp", await token(claims))).error;
  expect(await verdict({ sub: undefined })).toBe("TOKEN_INVALID");
  verifier.use([provider(server.port, { requiredClaims: ["jti"] })]);
  expect(await verdict({ sub: undefined, iat: undefined })).toBe("TOKEN_INVALID");
  expect(await verdict({ sub: undefined, iat: undefined, jti: "1" })).toBeUndefined();
  expect(await verdict({ exp: undefined, jti: "1" })).toBe("TOKEN_INVALID");
});
