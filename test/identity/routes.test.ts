/** The routes of certificates, nodes and the authority, as callers with different rights see them. */
import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TempFolder, tempFolder, type TestControl, testHost, withControl } from "#test/kit";
import { certificatesIn, changingKeys, leafOf, requestFor, SPIFFE_ORDERS } from "./kit.ts";

let folder: TempFolder;
let control: TestControl;

beforeAll(async () => {
  folder = await tempFolder();
  const host = testHost();
  control = await withControl({ host, secretKeys: changingKeys(host).source });
});
afterAll(async () => {
  await control[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function tokenFor(request: object): Promise<string> {
  const { json, status } = await control.call("POST", "/v1/tokens", request);
  expect(status).toBe(201);
  return json["token"] as string;
}

async function issue(token: string, names: readonly string[], more: object = {}) {
  const { pem } = await requestFor(folder.path, names);
  return control.call("POST", "/v1/certificates", { csr: pem, ...more }, bearer(token));
}

const joinToken = async (request: object) =>
  (await control.call("POST", "/v1/join-tokens", request)).json["token"] as string;
/** A request without a token of the control API, from an address of its own, so that bad ones do not slow down others. */
let addresses = 0;
async function openCall(path: string, body: object, remoteAddress = `10.1.0.${++addresses}`) {
  const { app } = control;
  const answer = await app.inject({ method: "POST", url: path, payload: body, remoteAddress });
  return { status: answer.statusCode, json: answer.json<Record<string, unknown>>() };
}

async function join(token: string, { name, from }: { name?: string; from?: string } = {}) {
  const request = await requestFor(folder.path, []);
  const answer = await openCall("/v1/joins", { token, csr: request.pem, ...(name ? { name } : {}) }, from);
  return { ...answer, request };
}

test("an agent gets certificates for the services that it is bound to, and for no other", async () => {
  const bound = await tokenFor({ name: "web-1", policies: ["agent"], namespaces: ["prod"], services: ["orders"] });
  const good = await issue(bound, [`URI:${SPIFFE_ORDERS}`], { dns: ["orders.prod"] });
  expect(good.status).toBe(201);
  expect(leafOf(good.json["certificate"] as string).subjectAltName).toBe(`URI:${SPIFFE_ORDERS}, DNS:orders.prod`);
  const refused = [
    await issue(bound, ["URI:spiffe://posthouse/ns/prod/service/stock"]),
    await issue(bound, ["URI:spiffe://posthouse/ns/test/service/orders"]),
    await issue(bound, ["URI:spiffe://posthouse/agent/web-1"]),
    await issue(bound, ["URI:spiffe://posthouse/member/m1"]),
    await issue(bound, ["URI:spiffe://elsewhere/ns/prod/service/orders"]),
    await issue(bound, [`URI:${SPIFFE_ORDERS}`], { dns: ["stock.prod"] }),
    await issue(bound, [`URI:${SPIFFE_ORDERS}`], { ips: ["10.0.0.1"] }),
    await issue(await tokenFor({ name: "web-2", policies: ["agent"] }), [`URI:${SPIFFE_ORDERS}`]),
  ];
  expect(refused.map(({ status, json }) => [status, json["code"]])).toEqual(
    refused.map(() => [403, "IDENTITY_NAME_NOT_ALLOWED"]),
  );
  expect(
    (await issue(await tokenFor({ name: "v", policies: ["viewer"] }), [`URI:${SPIFFE_ORDERS}`])).json,
  ).toMatchObject({
    code: "HTTP_FORBIDDEN",
    action: "identity:issue",
  });
});

test("a node joins once with its token, and is what its token says", async () => {
  const token = await joinToken({
    kind: "agent",
    name: "web-7",
    services: ["orders"],
    namespaces: ["prod"],
    dns: ["web-7.internal"],
  });
  const first = await join(token);
  expect(first.status).toBe(201);
  expect(first.json).toMatchObject({ spiffeId: "spiffe://posthouse/agent/web-7" });
  const leaf = leafOf(first.json["certificate"] as string);
  expect(leaf.checkPrivateKey(first.request.key)).toBe(true);
  expect(leaf.checkHost("web-7.internal")).toBe("web-7.internal");
  expect(token.split("_")[3]).toBe(
    certificatesIn(first.json["bundle"] as string)[0]
      ?.fingerprint256.replaceAll(":", "")
      .toLowerCase(),
  );
  const again = await join(token);
  expect([again.status, again.json["code"]]).toEqual([401, "IDENTITY_JOIN_TOKEN_USED"]);
  const { json } = await control.call("GET", "/v1/nodes");
  expect(json["nodes"]).toEqual([
    expect.objectContaining({
      kind: "agent",
      name: "web-7",
      services: ["orders"],
      namespaces: ["prod"],
      certificates: 1,
      by: "operator",
    }),
  ]);
});

test("of ten joins with one token at the same moment, one succeeds", async () => {
  const token = await joinToken({ kind: "agent" });
  const names = Array.from({ length: 10 }, (_, at) => `racer-${at}`);
  const answers = await Promise.all(names.map((name) => join(token, { name })));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    201,
    ...names.slice(1).map(() => 401),
  ]);
});

test("a join token without a name does not take the name of another node", async () => {
  await join(await joinToken({ kind: "gateway", name: "edge-1" }));
  const taken = await join(await joinToken({ kind: "gateway" }), { name: "edge-1" });
  expect(taken.json).toMatchObject({ status: 409, code: "IDENTITY_NODE_NAME_TAKEN" });
  const other = await join(await joinToken({ kind: "gateway", name: "edge-2" }), { name: "edge-1" });
  expect(other.json).toMatchObject({ status: 403, code: "IDENTITY_NODE_NAME_NOT_ALLOWED" });
  const nameless = await join(await joinToken({ kind: "gateway" }));
  expect(nameless.json).toMatchObject({ status: 400, code: "IDENTITY_JOIN_NAME_NEEDED" });
});

test("a removed node has no rights at once, and its certificates stay revoked when the name joins again", async () => {
  const first = await join(await joinToken({ kind: "agent", name: "web-9" }));
  const old = leafOf(first.json["certificate"] as string);
  const { request } = first;
  const renewal = { certificate: old.toString(), csr: (await requestFor(folder.path, [], request.key)).pem };
  expect((await openCall("/v1/renewals", renewal)).status).toBe(201);
  expect((await control.call("DELETE", "/v1/nodes/agent/web-9")).status).toBe(204);
  const gone = await openCall("/v1/renewals", renewal);
  expect(gone.json).toMatchObject({ status: 401, code: "IDENTITY_CERTIFICATE_REVOKED" });
  await join(await joinToken({ kind: "agent", name: "web-9" }));
  expect((await openCall("/v1/renewals", renewal)).json["code"]).toBe("IDENTITY_CERTIFICATE_REVOKED");
});

test("a renewal needs the key of the certificate", async () => {
  const first = await join(await joinToken({ kind: "agent", name: "web-10" }));
  const stolen = await requestFor(folder.path, [], generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const answer = await openCall("/v1/renewals", { certificate: first.json["certificate"], csr: stolen.pem });
  expect(answer.json).toMatchObject({ status: 400, code: "IDENTITY_CSR_INVALID" });
});

test("a certificate is listed without its key, and revoked by its serial number", async () => {
  const issued = await issue(control.token, ["URI:spiffe://posthouse/ns/prod/service/listed"]);
  const serial = issued.json["serial"] as string;
  const list = async () => {
    const path = `/v1/certificates?spiffeId=${encodeURIComponent("spiffe://posthouse/ns/prod/service/listed")}`;
    return (await control.call("GET", path)).json["certificates"] as object[];
  };
  expect(await list()).toEqual([expect.objectContaining({ serial, by: expect.any(String) as string })]);
  expect((await control.call("DELETE", `/v1/certificates/${serial}`)).status).toBe(204);
  expect(await list()).toEqual([
    expect.objectContaining({ serial, revoked: expect.objectContaining({ by: "operator" }) as object }),
  ]);
  expect((await control.call("DELETE", `/v1/certificates/${"4".repeat(32)}`)).json["code"]).toBe(
    "IDENTITY_CERTIFICATE_NOT_FOUND",
  );
});

test("anybody reads the trust bundle, and guessed join tokens slow their address down", async () => {
  const { json, status } = await control.call("GET", "/v1/trust-bundle", undefined, {});
  expect([status, certificatesIn(json["pem"] as string).length, json["trustDomain"]]).toEqual([200, 1, "posthouse"]);
  const guess = `phj_${"0".repeat(16)}_${"0".repeat(64)}_${"0".repeat(64)}`;
  const codes: unknown[] = [];
  for (let tries = 0; tries < 12; tries++)
    codes.push((await join(guess, { name: "x", from: "10.2.0.1" })).json["code"]);
  expect(codes[0]).toBe("IDENTITY_JOIN_TOKEN_INVALID");
  expect(codes.at(-1)).toBe("HTTP_TOO_MANY_BAD_TOKENS");
});
