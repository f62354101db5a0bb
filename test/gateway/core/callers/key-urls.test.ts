/** Where the keys of an identity provider may come from, whether a config or a discovery names it. */
import { expect, test } from "vitest";
import {
  discoveredKeyUrl,
  discoveryProblem,
  discoveryUrl,
  keyUrlProblem,
} from "../../../../gateway/core/callers/key-urls.ts";

test.each(["https://idp.example/keys", "http://127.0.0.1:80/keys", "http://[::1]/keys", "https://idp.example/?a=1"])(
  "%s may be asked",
  (url) => expect(keyUrlProblem(url)).toBeUndefined(),
);

test.each([
  "keys",
  "file:///keys",
  "ftp://idp.example/keys",
  "http://idp.example/keys",
  "https://a:b@idp.example/keys",
  "https://169.254.169.254/keys",
  "http://169.254.169.254/keys",
  "https://[::ffff:a9fe:a9fe]/keys",
  "https://100.100.100.200/keys",
])("%s may not", (url) => expect(keyUrlProblem(url)).toEqual(expect.any(String)));

test("a discovery lies at its issuer, which has no query and no fragment", () => {
  for (const issuer of ["https://idp.example/a", "https://idp.example/a/"])
    expect(discoveryUrl(issuer)).toBe("https://idp.example/a/.well-known/openid-configuration");
  expect(discoveryProblem("https://idp.example/a")).toBeUndefined();
  for (const [issuer, problem] of [
    ["https://idp.example/?", "a query or a fragment"],
    ["https://idp.example/#", "a query or a fragment"],
    ["http://idp.example", "Use https for keys"],
  ] as const)
    expect(discoveryProblem(issuer)).toMatch(problem);
  expect(discoveryProblem("http://idp.example")).toContain("Without jwks.url");
});

test("a discovery is taken from its own issuer only, and names keys that may be asked for", () => {
  const issuer = "https://idp.example";
  const jwks_uri = `${issuer}/keys`;
  expect(discoveredKeyUrl({ issuer, jwks_uri }, issuer)).toBe(jwks_uri);
  for (const [document, problem] of [
    [{ issuer: `${issuer}/`, jwks_uri }, 'has another issuer: "https://idp.example/"'],
    [null, "has another issuer"],
    [{ issuer, jwks_uri: 1 }, "no jwks_uri"],
    [{ issuer }, "no jwks_uri"],
    [{ issuer, jwks_uri: "http://idp.example/keys" }, "cannot be used: Use https for keys"],
  ] as const)
    expect(() => discoveredKeyUrl(document, issuer)).toThrow(problem);
});
