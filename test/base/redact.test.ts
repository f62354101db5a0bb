/** Secrets in log lines: by name, by form, in every place of a line, and what remains readable. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { AppError, defineErrors } from "#base";
import { systemLog } from "#base/library";
import { redactedText } from "../../kernel/base/redact.ts";
import { isSecretName } from "../../kernel/base/secret-names.ts";

const Errors = defineErrors("TEST", { FAILED: { status: 500, title: "Failed" } });

/** The lines that a log writes, as JSON and for a terminal. */
function linesOf(fields: object, message: string): string {
  const lines: string[] = [];
  for (const format of ["json", "text"] as const) {
    systemLog({ level: "info", format, write: (line) => void lines.push(line) }).log.info(fields, message);
  }
  return lines.join("");
}

test.each([
  "authorization",
  "Proxy-Authorization",
  "cookie",
  "set-cookie",
  "token",
  "access_token",
  "operatorTokens",
  "PASSWORD",
  "db.password",
  "passwd2",
  "client_secret",
  "apiKey",
  "x-api-key",
  "X%2DApi%2DKey",
  "privateKey",
  "AWS_SECRET_ACCESS_KEY",
  "credentials",
])("the value of %s is a secret", (name) => expect(isSecretName(name)).toBe(true));

test.each([
  "tokenFile",
  "tokenId",
  "joinTokenId",
  "passwordFile",
  "token_endpoint",
  "secretName",
  "author",
  "key",
  "code",
])("the value of %s is public", (name) => expect(isSecretName(name)).toBe(false));

const HEX = "0123456789abcdef";
test.each([
  ["GET /a?x=1&access_token=abc&y=2", "GET /a?x=1&access_token=[redacted]&y=2"],
  ["GET /callback?code=abc&state=1", "GET /callback?code=[redacted]&state=1"],
  ["redis://user:pa:ss@host:1/0 is down", "redis://[redacted]@host:1/0 is down"],
  ["sent Bearer abc.def, got 401", "sent Bearer [redacted], got 401"],
  ["authorization: Digest username=a, response=b", "authorization: [redacted]"],
  ["Basic dXNlcjpwYXNz was refused", "Basic [redacted] was refused"],
  [`the token ph_${HEX}_${HEX}${HEX} has lapsed`, "the token [redacted] has lapsed"],
  [`cut: pha_${HEX}`, "cut: [redacted]"],
  ["eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln rejected", "[redacted] rejected"],
  ["at .eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "at .[redacted]"],
  ['{"user":"a","password":"a\\"b","n":1}', '{"user":"a","password":"[redacted]","n":1}'],
  [String.raw`body {\"password\":\"a b\",\"n\":1}`, String.raw`body {\"password\":\"[redacted]\",\"n\":1}`],
  ["user: a\npassword: correct horse\nport: 1", "user: a\npassword: [redacted]\nport: 1"],
  ["-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nend", "[redacted]\nend"],
])("%j becomes %j", (text, expected) => {
  expect(redactedText(text)).toBe(expected);
  expect(redactedText(expected)).toBe(expected);
});

test.each([
  "this request needs a bearer token",
  "basic health checks pass",
  "keyJob.example.com is unknown",
  "connect ECONNREFUSED 127.0.0.1:8500",
  "http://127.0.0.1:8500/v1/services?namespace=default",
  'unknown field "token"; use one of a, b',
  "the code=ECONNRESET of user a@example.com",
])("%j remains as it is", (text) => expect(redactedText(text)).toBe(text));

test("names of fields, members of data and raw headers are redacted; counts remain", () => {
  const token = `ph_${HEX}_${HEX}`;
  const text = linesOf(
    {
      token: "one",
      request: { headers: { cookie: ["two=2"], "x-api-key": 33_333 }, rawHeaders: ["Host", "h", "X-Api-Key", "four"] },
      url: new URL("http://u:five@h/"),
      by: { [token]: 1 },
      secrets: 3,
      isSecret: true,
      tokenFile: "/etc/token",
    },
    "a message",
  );
  expect(text).not.toMatch(/one|two|33333|four|five|ph_/);
  expect(text).toContain('"secrets":3,"isSecret":true,"tokenFile":"/etc/token","msg":"a message"');
  expect(text).toContain("secrets=3 isSecret=true tokenFile=/etc/token");
});

/** Something that can be in a URL, a header, a quoted text and a word alike, and in no other part of a line. */
const Planted = fc
  .tuple(fc.constantFrom("", "9", "-", "."), fc.stringMatching(/^[A-Za-z\d._~+-]{4,40}$/))
  .map(([first, rest]) => `Zq7${first}${rest}qZ7`);
const SecretName = fc.constantFrom(
  "authorization",
  "cookie",
  "token",
  "db_password",
  "clientSecret",
  "x-api-key",
  "PRIVATE_KEY",
);
const Filler = fc.string({ unit: "binary", maxLength: 20 });

const PLACES: readonly ((secret: string, name: string) => { fields: object; message?: string })[] = [
  (secret, name) => ({ fields: { [name]: secret } }),
  (secret, name) => ({ fields: { a: [{ b: { [name]: [secret] } }] } }),
  (secret, name) => ({ fields: { rawHeaders: [name, secret] } }),
  (secret, name) => ({ fields: { url: `https://h/p?a=1&${name}=${secret}&b=2` } }),
  (secret, name) => ({ fields: { body: JSON.stringify({ a: JSON.stringify({ [name]: secret }) }) } }),
  (secret, name) => ({ fields: {}, message: `${name}: ${secret}` }),
  (secret, name) => ({ fields: { err: Errors.FAILED(`failed with ${name}=${secret}`) } }),
  (secret, name) => ({ fields: { err: new TypeError("outer", { cause: new Error(`${name}='${secret}'`) }) } }),
  (secret) => ({ fields: { url: `https://user:${secret}@h/p` } }),
  (secret) => ({ fields: {}, message: `Bearer ${secret}` }),
  (secret) => ({ fields: { err: new Error(`sent Bearer ${secret}`) } }),
  (secret) => ({ fields: { pem: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----` } }),
];

test("no planted secret is in a line, wherever it is, and whatever is around it", () => {
  fc.assert(
    fc.property(Planted, SecretName, fc.constantFrom(...PLACES), Filler, (secret, name, place, filler) => {
      const { fields, message = "" } = place(secret, name);
      const text = linesOf({ filler, ...fields, after: filler }, `${filler}\n${message}`);
      expect(text).not.toContain(secret);
    }),
    { numRuns: 2_000 },
  );
});

test("the property fails for a name that is public", () => {
  expect(linesOf({ user: "Zq7planted" }, "")).toContain("Zq7planted");
});

test("each line is one line without a character that moves the cursor or changes the order, in fields, names and stacks", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (filler) => {
      const harmful = `${filler}\r\n\u001B[2J\u007F\u009B1A\u2028\u202E`;
      const fields = { [harmful]: harmful, data: { [harmful]: [harmful] } };
      const lines = linesOf(fields, harmful);
      expect(lines.split("\n")).toHaveLength(3);
      expect(lines.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u);
      expect(linesOf({ err: new Error(harmful) }, "m").replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u2028\u202E]/u);
    }),
  );
});

test("a long run after a name costs no square of its length", () => {
  for (const sign of [",", " ", "\\", "&", "eyJ", "eyJ.", "="]) {
    const text = `a password: ${sign.repeat(100_000)}x y`;
    const started = performance.now();
    redactedText(text);
    expect(performance.now() - started, sign).toBeLessThan(1_000);
  }
});

test("the time is in proportion to the length", () => {
  for (const part of [
    "a",
    "a-",
    "://",
    "eyJa.",
    "eyJ",
    "a password: ,",
    "Bearer ",
    "password=[",
    "Basic a",
    "password",
    '"',
    "\\",
    "password=",
    "ph_",
    "&",
    "-----BEGIN PRIVATE KEY-----",
  ]) {
    const text = part.repeat(Math.ceil(100_000 / part.length));
    const started = performance.now();
    redactedText(text);
    expect(performance.now() - started, part).toBeLessThan(1_000);
  }
});

test("an error of posthouse keeps its code", () => {
  const error = Errors.FAILED("token=abc is wrong");
  expect(error).toBeInstanceOf(AppError);
  expect(linesOf({ err: error }, "m")).toContain('"code":"TEST_FAILED"');
});
