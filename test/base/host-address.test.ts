/** Addresses and host names: what is one, what is not, and that every place where one enters asks the same question. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hostAddressProblem, parseHostAddress, urlHostProblem } from "#base";
import { checkProblem, type Check } from "#registry/api";
import { parseGatewayConfig } from "#gateway/config-text";
import { loadSettings } from "#settings";

const label63 = "a".repeat(63);
const name253 = [label63, label63, label63, "a".repeat(61)].join(".");

const VALID = [
  ["10.0.0.7", "ipv4"],
  ["255.255.255.255", "ipv4"],
  ["::", "ipv6"],
  ["2001:DB8::7", "ipv6"],
  ["::ffff:10.0.0.7", "ipv6"],
  ["localhost", "name"],
  ["DB.Example", "name"],
  ["3com.example", "name"],
  ["4f66ad9a2b3c", "name"],
  ["a-b.c--d", "name"],
  ["xn--bcher-kva.example", "name"],
  ["1.2.3.x", "name"],
  [label63, "name"],
  [name253, "name"],
] as const;

const INVALID = [
  "",
  " ",
  ".",
  "..",
  "a..b",
  ".internal",
  "internal.",
  "host:8080",
  "[::1]",
  "[::1]:80",
  "::1%eth0",
  "1:2:3",
  ":::",
  "10.0.0.256",
  "10.0.0",
  "010.0.0.1",
  "10.0.0.1:80",
  "1",
  "0x7f.1",
  "0x7f000001",
  "a.0x",
  "example.1",
  "under_score",
  "-a",
  "a-",
  "a.-b",
  "a b",
  "a\n",
  "bücher.example",
  "http://a",
  "a/b",
  "user@a",
  "*.example",
  `${label63}a`,
  `${name253}a`,
  `a.${name253}`,
];

test.each(VALID)("%s is of kind %s", (text, kind) => {
  expect(parseHostAddress(text)).toEqual({ kind, text });
});

/** Each place where an address or a host name enters, as whether it refuses this one. */
const DOORS: Record<string, (text: string) => boolean> = {
  "an address": (text) => hostAddressProblem(text) !== undefined,
  "a check's host": (text) => problemOf({ id: "c", type: "tcp", host: text }) === "/host",
  "a check's server name": (text) =>
    problemOf({ id: "c", type: "grpc", tls: { serverName: text } }) === "/tls/serverName",
  "an endpoint of a gateway's cluster": (text) =>
    gatewayProblem({ endpoints: [{ address: text, port: 80 }] }) === "/clusters/0/endpoints/0/address",
  "the server name of a cluster": (text) =>
    gatewayProblem({ service: "x", tls: { serverName: text } }) === "/clusters/0/tls/serverName",
  "a setting": (text) => refused(() => loadSettings({ environment: {}, flags: { agentAddress: text } })),
  "an address listened on": (text) => refused(() => loadSettings({ environment: {}, flags: { host: text } })),
};

function problemOf(check: Check): string | undefined {
  return checkProblem(check, "server")?.field;
}

function gatewayProblem(cluster: object): string | undefined {
  const text = JSON.stringify({ clusters: [{ name: "c", ...cluster }] });
  return parseGatewayConfig(text).problems[0]?.pointer;
}

function refused(load: () => unknown): boolean {
  try {
    load();
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: "SETTINGS_INVALID" });
    return true;
  }
}

test.each(Object.entries(DOORS))("%s refuses what is neither an address nor a name", (door, refuses) => {
  // A cluster's endpoint may have its IPv6 address in brackets, and no service has an unspecified address.
  const brackets = door.startsWith("an endpoint") ? ["[::1]"] : [];
  expect(INVALID.filter((text) => !refuses(text))).toEqual(brackets);
  const unusable = door.startsWith("an endpoint") ? ["255.255.255.255", "::"] : [];
  expect(VALID.map(([text]) => text).filter(refuses)).toEqual(unusable);
});

test.each(INVALID.filter((text) => !/[\s/@[\]:*]/.test(text) && text !== ""))(
  "a URL with the host %s is refused",
  (host) => {
    for (const url of [`http://${host}`, `https://${host}:8080/x?y#z`, `http://user:pass@${host}/`]) {
      expect(urlHostProblem(url)).toBeDefined();
      expect(problemOf({ id: "c", type: "http", url })).toBe("/url");
      expect(refused(() => loadSettings({ environment: {}, flags: { otlpUrl: url } }))).toBe(true);
      expect(refused(() => loadSettings({ environment: {}, flags: { controlUrls: [url] } }))).toBe(true);
    }
  },
);

test("a URL with an address or a name as its host is accepted, whatever else it holds", () => {
  for (const host of [...VALID.filter(([, kind]) => kind !== "ipv6").map(([text]) => text), "[::1]", "[2001:DB8::7]"]) {
    for (const url of [`http://${host}`, `https://${host}:8080/a@b?c=d:e#f`, `http://u:p@${host}/`]) {
      expect([url, urlHostProblem(url)]).toEqual([url, undefined]);
    }
  }
  for (const url of [
    "ftp://a",
    "http:///x",
    "http://",
    "a.example",
    "http://[10.0.0.1]/",
    "http://[::1",
    "http://a:99999/",
  ]) {
    expect([url, urlHostProblem(url) !== undefined]).toEqual([url, true]);
  }
});

test("no text makes the reader throw, and what it accepts keeps to the sizes of DNS", () => {
  const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("a", "1", ".", "-", "x", ":", "0") }));
  fc.assert(
    fc.property(texts, (text) => {
      const parsed = parseHostAddress(text);
      if (parsed?.kind !== "name") return;
      const labels = text.split(".");
      expect(labels.every((label) => label.length >= 1 && label.length <= 63)).toBe(true);
      expect(labels.reduce((bytes, label) => bytes + label.length + 1, 1)).toBeLessThanOrEqual(255);
      // A text that a browser or a resolver reads as a number is not a name.
      expect(URL.parse(`http://${text}/`)?.hostname).toBe(text.toLowerCase());
    }),
    { numRuns: 2_000 },
  );
});
