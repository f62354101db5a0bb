/** The identity provider as the control plane sees it: a real one, and everything that can be wrong with one. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { OidcProvider, type OidcSettings } from "#access";
import { testHost } from "#test/kit";
import { signInAtProvider } from "./person-at-provider.ts";
import { CLIENT_ID, CLIENT_SECRET, startProvider, type TestProvider } from "./provider.ts";

const REDIRECT = "http://127.0.0.1:8500/ui/api/oidc/callback";
const SECRETS = { state: "s".repeat(43), nonce: "n".repeat(43), verifier: "v".repeat(43) };

let provider: TestProvider;
beforeAll(async () => {
  provider = await startProvider({
    redirectUris: [REDIRECT],
    people: { ann: { groups: ["team-b", "team-a", "team-a"] }, bob: {}, eve: { groups: { admins: true } } },
  });
});
beforeEach(() => void (provider.intercept = undefined));
afterAll(() => provider?.[Symbol.asyncDispose]());

function settings(change: Partial<OidcSettings> = {}): OidcSettings {
  return {
    issuer: provider.issuer,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    scopes: ["openid", "profile", "email", "groups"],
    claims: { groups: "groups" },
    sessionSeconds: 3600,
    ...change,
  };
}

/** The code of an error that a promise rejects with. */
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "none",
    (error: { code?: string }) => error.code,
  );

/** The answer of the provider for a person, as the browser brings it back. */
async function answerFor(client: OidcProvider, login: string): Promise<URL> {
  return signInAtProvider(await client.authorizationUrl(REDIRECT, SECRETS), login);
}

test("a person has the verified email as name, and sorted groups", async () => {
  await using client = new OidcProvider(testHost(), settings());
  const answer = await answerFor(client, "ann");
  expect(answer.pathname).toBe("/ui/api/oidc/callback");
  expect(await client.personOf(answer, SECRETS)).toEqual({ user: "ann@example.com", groups: ["team-a", "team-b"] });
  expect(await codeOf(client.personOf(answer, SECRETS)), "a code is used once").toBe("OIDC_REFUSED");
});

test("the description is read once, the keys for each sign-in, so that new keys work at once", async () => {
  await using client = new OidcProvider(testHost(), settings());
  await client.personOf(await answerFor(client, "bob"), SECRETS);
  const before = provider.requests.length;
  await provider.rotateKeys();
  expect(await client.personOf(await answerFor(client, "bob"), SECRETS)).toEqual({
    user: "bob@example.com",
    groups: [],
  });
  const asked = provider.requests.slice(before);
  expect(asked.filter((one) => one.endsWith("/.well-known/openid-configuration"))).toEqual([]);
  expect(asked).toContain("GET /jwks");
});

test("state, nonce and verifier must be those of the start", async () => {
  await using client = new OidcProvider(testHost(), settings());
  for (const [name, code] of [
    ["state", "OIDC_PROVIDER_INVALID"],
    ["nonce", "OIDC_PROVIDER_INVALID"],
    ["verifier", "OIDC_REFUSED"],
  ] as const) {
    const answer = await answerFor(client, "ann");
    expect([name, await codeOf(client.personOf(answer, { ...SECRETS, [name]: "x".repeat(43) }))]).toEqual([name, code]);
  }
});

test("an answer that names another issuer is not accepted", async () => {
  await using client = new OidcProvider(testHost(), settings());
  const answer = await answerFor(client, "ann");
  answer.searchParams.set("iss", "https://elsewhere.example");
  expect(await codeOf(client.personOf(answer, SECRETS))).toBe("OIDC_PROVIDER_INVALID");
  answer.searchParams.delete("iss");
  expect(await codeOf(client.personOf(answer, SECRETS))).toBe("OIDC_PROVIDER_INVALID");
});

test("an ID token that the provider's keys did not sign is not accepted", async () => {
  await using client = new OidcProvider(testHost(), settings());
  const answer = await answerFor(client, "ann");
  provider.intercept = (path, respond) => {
    if (path !== "/jwks") return false;
    respond(200, JSON.stringify({ keys: [OTHER_KEY] }));
    return true;
  };
  expect(await codeOf(client.personOf(answer, SECRETS))).toBe("OIDC_PROVIDER_INVALID");
});
/** A key without an owner: a point of P-256, from RFC 7517. */
const OTHER_KEY = {
  kty: "EC",
  crv: "P-256",
  x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
  y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
  alg: "ES256",
  use: "sig",
};

test("claims that cannot be read are refused with what is wrong", async () => {
  await using client = new OidcProvider(testHost(), settings());
  const answer = await answerFor(client, "eve");
  await expect(client.personOf(answer, SECRETS)).rejects.toThrow(/entry 1 of the claim "groups" is not a name/);
});

test("a person who denies is refused with the provider's words", async () => {
  await using client = new OidcProvider(testHost(), settings());
  await client.authorizationUrl(REDIRECT, SECRETS);
  const denied = new URL(REDIRECT);
  const words = "<b>no\nway</b>".padEnd(500, "x");
  denied.search = new URLSearchParams({
    error: "access_denied",
    error_description: words,
    state: SECRETS.state,
    iss: provider.issuer,
  }).toString();
  const error = await client.personOf(denied, SECRETS).catch((caught: unknown) => caught as Error & { code: string });
  expect(error).toMatchObject({ code: "OIDC_REFUSED" });
  expect((error as Error).message).toMatch(/access_denied \(<b>no way<\/b>x+\)\. Sign in again\.$/);
  expect((error as Error).message.length).toBeLessThan(400);
});

const DISCOVERY = "/.well-known/openid-configuration";
const faults: readonly [string, string, (respond: (status: number, body: string, type?: string) => void) => void][] = [
  ["garbage", "OIDC_PROVIDER_INVALID", (respond) => respond(200, "<html>")],
  ["another type", "OIDC_PROVIDER_INVALID", (respond) => respond(200, "{}", "text/html")],
  ["no endpoints", "OIDC_PROVIDER_INVALID", (respond) => respond(200, JSON.stringify({ issuer: provider.issuer }))],
  [
    "another issuer",
    "OIDC_PROVIDER_INVALID",
    (respond) =>
      respond(
        200,
        JSON.stringify({ issuer: "https://evil.example", authorization_endpoint: "https://evil.example/a" }),
      ),
  ],
  [
    "an endpoint without TLS",
    "OIDC_PROVIDER_INVALID",
    (respond) =>
      respond(200, JSON.stringify({ issuer: provider.issuer, authorization_endpoint: "http://evil.example/a" })),
  ],
  ["a redirect", "OIDC_PROVIDER_INVALID", (respond) => respond(302, "")],
  ["a failure", "OIDC_PROVIDER_UNAVAILABLE", (respond) => respond(500, "{}")],
  ["an endless document", "OIDC_PROVIDER_INVALID", (respond) => respond(200, `{"a":"${"x".repeat(600_000)}"}`)],
];
test.each(faults)("a provider that answers with %s is %s", async (_name, code, answer) => {
  await using client = new OidcProvider(testHost(), settings());
  provider.intercept = (path, respond) => {
    if (path !== DISCOVERY) return false;
    answer(respond);
    return true;
  };
  expect(await codeOf(client.authorizationUrl(REDIRECT, SECRETS))).toBe(code);
});

test("a provider that is away is asked once by many browsers, and works again a second after it is back", async () => {
  const host = testHost();
  await using client = new OidcProvider(host, settings());
  let asked = 0;
  provider.intercept = (path, respond) => {
    if (path !== DISCOVERY) return false;
    asked += 1;
    respond(503, "{}");
    return true;
  };
  const tries = Array.from({ length: 5 }, () => codeOf(client.authorizationUrl(REDIRECT, SECRETS)));
  expect(new Set(await Promise.all(tries))).toEqual(new Set(["OIDC_PROVIDER_UNAVAILABLE"]));
  expect(asked).toBe(1);
  provider.intercept = undefined;
  await expect
    .poll(() => codeOf(client.authorizationUrl(REDIRECT, SECRETS)), { timeout: 10_000, interval: 200 })
    .toBe("none");
});

test("a wrong client secret names the settings", async () => {
  await using client = new OidcProvider(testHost(), settings({ clientSecret: "wrong" }));
  const answer = await answerFor(client, "ann");
  await expect(client.personOf(answer, SECRETS)).rejects.toThrow(
    /not accept posthouse as its client.*oidcClientId and oidcClientSecret/,
  );
});
