/** The claims of other proxies in a request: in its head, and in its trailers. */
import { expect, test } from "vitest";
import { CidrSet } from "../../../../gateway/core/request/cidr-set.ts";
import { isBadHead, readHead } from "../../../../gateway/core/request/head.ts";
import { trailersToPass, upstreamHeaders } from "../../../../gateway/core/decision/headers.ts";
import { headerRecord } from "../../../../gateway/core/request/header-list.ts";

const TRUSTED = "10.0.0.1";
const STRANGER = "192.0.2.9";

function sent(peer: string, ...headers: [name: string, value: string][]) {
  const rawHeaders = ["Host", "gateway.example", ...headers.flat()];
  const head = readHead({ method: "GET", target: "/", version: "1.1", scheme: "http", peer, rawHeaders });
  if (isBadHead(head)) throw new Error(head.detail);
  const table = { ownHeaders: new Set<string>(), trusted: new CidrSet([`${TRUSTED}/32`]) };
  return headerRecord(upstreamHeaders(head, rawHeaders, { table, version: "1.1", set: [] }));
}

const CLAIMS = [
  "CF-Connecting-IP",
  "X-Client-Cert",
  "X-Original-URL",
  "X-Rewrite-URL",
  "True-Client-IP",
  "X-SSL-Client-DN",
];

test.each(CLAIMS)("%s is accepted from a trusted proxy only", (name) => {
  expect(sent(STRANGER, [name, "forged"])[name.toLowerCase()]).toBeUndefined();
  expect(sent(TRUSTED, [name, "said"])[name.toLowerCase()]).toBe("said");
  expect(trailersToPass([name, "forged"], () => false)).toEqual([]);
});

test("Proxy reaches no service", () => {
  expect(sent(TRUSTED, ["Proxy", "x"])["proxy"]).toBeUndefined();
});

test.each(["Forwarded", "X-Real-IP", "traceparent", "Cookie", "X-Forwarded-For", "Authorization", "x_a", "Host", "TE"])(
  "a trailer %s reaches no service",
  (name) => expect(trailersToPass([name, "x", "x-checksum", "1"], () => false)).toEqual(["x-checksum", "1"]),
);

test("each hop has its own scheme and host, and a trusted proxy's word for the client's host is kept", () => {
  const through = sent(
    TRUSTED,
    ["X-Forwarded-For", "203.0.113.7"],
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-Host", "shop.example"],
  );
  expect(through).toMatchObject({
    "x-forwarded-host": "shop.example",
    forwarded: 'for=203.0.113.7;proto=https;host="shop.example", for=10.0.0.1;proto=http;host="gateway.example"',
  });
  const direct = sent(STRANGER, ["X-Forwarded-Host", "evil.example"], ["X-Forwarded-Proto", "https"]);
  expect(direct).toMatchObject({
    "x-forwarded-host": "gateway.example",
    forwarded: 'for=192.0.2.9;proto=http;host="gateway.example"',
  });
  expect(sent(TRUSTED, ["X-Forwarded-Host", "a b"])["x-forwarded-host"]).toBe("gateway.example");
});
