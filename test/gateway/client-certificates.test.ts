/**
 * Listeners that ask clients for a certificate: which clients are accepted, what the service receives, and that no
 * client can forge it.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { expect, test } from "vitest";
import { parseGatewayConfig } from "#gateway";
import { eventually, tempFolder, freePort } from "#test/kit";
import { trailersToPass } from "../../gateway/core/decision/headers.ts";
import { authority, type Authority } from "./certificates.ts";
import { ask } from "./echo.ts";
import { instance, runGateway, upstream } from "./kit.ts";
import { askHttp2, askTls, fingerprint } from "./tls-kit.ts";

const HEADER = "x-forwarded-client-cert";

async function listening(
  clients: object | undefined,
  options: { more?: object; tls?: { key: string; cert: string } } = {},
) {
  const stack = new AsyncDisposableStack();
  const service = stack.use(
    await upstream((request, response) => {
      response.setHeader("content-type", "application/json");
      response.setHeader("cache-control", "max-age=60");
      response.end(JSON.stringify(request.headers));
    }),
  );
  const port = await freePort();
  const config = (clientCertificates: object | undefined) => ({
    listeners: [{ name: "secure", port, tls: true, ...(clientCertificates ? { clientCertificates } : {}) }],
    routes: [{ name: "r", match: {}, service: "orders", ...options.more }],
  });
  const server = await authority();
  const running = stack.use(
    await runGateway(config(clients), [instance(service.port)], { tls: await server.issue(["a.example"]) }),
  );
  await eventually("the port is open", async () => (await askTls(port, {})).error !== "ECONNREFUSED");
  return {
    port,
    service,
    running,
    config,
    told: (text: string) => (JSON.parse(text) as Record<string, string | undefined>)[HEADER],
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

const clientOf = (ca: Authority, names = ["client.example"], subject = "CN=client, O=Acme") =>
  ca.issue(names, { subject });

test("only a client with a certificate of the listener's CA reaches a route, and the service receives the client's identity", async () => {
  const [ca, stranger] = [await authority(), await authority()];
  await using at = await listening({ ca: ca.pem });
  const good = await clientOf(ca, ["client.example", "spiffe://acme/orders"]);
  const bad = await clientOf(stranger);
  for (const [what, client] of [
    ["none", {}],
    ["a stranger's", bad],
    ["a self-made chain", { key: bad.key, cert: `${bad.cert}\n${stranger.pem}` }],
    ["its own CA's, and trusting it", { ...bad, ca: stranger.pem }],
  ] as const) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const refused = await askTls(at.port, { ...client, maxVersion });
      expect([what, maxVersion, refused.text]).toEqual([what, maxVersion, ""]);
    }
    const [answer] = await askHttp2(at.port, { ...client, requests: [{ ":authority": "a.example" }] });
    expect([what, answer?.[0]]).not.toEqual([what, 200]);
  }
  expect(at.service.requests).toHaveLength(0);
  const identity = `Hash=${fingerprint(good.cert)};Subject="O=Acme,CN=client";URI=spiffe://acme/orders;DNS=client.example`;
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const answer = await askTls(at.port, { ...good, maxVersion });
    expect([answer.status, at.told(answer.body)]).toEqual([200, identity]);
  }
  const [answer] = await askHttp2(at.port, { ...good, requests: [{ ":authority": "a.example" }] });
  expect([answer?.[0], at.told(answer?.[1] ?? "{}")]).toEqual([200, identity]);
});

test("TLS 1.2 has no CBC suites, whether or not a listener asks for certificates", async () => {
  const ca = await authority();
  for (const clients of [undefined, { ca: ca.pem }]) {
    await using at = await listening(clients);
    const client = { ...(await clientOf(ca)), maxVersion: "TLSv1.2" } as const;
    for (const ciphers of [
      "ECDHE-ECDSA-AES128-SHA256",
      "ECDHE-ECDSA-AES256-SHA384",
      "ECDHE-RSA-AES128-SHA",
      "AES256-SHA",
    ]) {
      const refused = await askTls(at.port, { ...client, ciphers });
      expect([ciphers, refused.status, refused.error]).toEqual([
        ciphers,
        0,
        expect.stringMatching(/HANDSHAKE_FAILURE/),
      ]);
    }
    const gcm = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    expect(await askTls(at.port, { ...client, ciphers: gcm })).toMatchObject({ status: 200 });
  }
});

test("without a certificate a client gets the TLS alert that says so", async () => {
  const ca = await authority();
  await using at = await listening({ ca: ca.pem });
  const alert = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
    new Promise<string>((resolve) => {
      const socket = tlsConnect({ host: "127.0.0.1", port: at.port, rejectUnauthorized: false, maxVersion });
      socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? ""));
      socket.on("data", () => {});
    });
  expect(await alert("TLSv1.3")).toBe("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
  expect(await alert("TLSv1.2")).toMatch(/ALERT_HANDSHAKE_FAILURE|ECONNRESET|EPROTO/);
});

test("verify-if-given accepts a client without a certificate as anonymous and rejects one with an invalid certificate", async () => {
  const [ca, stranger] = [await authority(), await authority()];
  await using at = await listening({ ca: ca.pem, mode: "verify-if-given" });
  const nobody = await askTls(at.port, { headers: [`${HEADER}: Hash=forged`] });
  expect([nobody.status, at.told(nobody.body)]).toEqual([200, undefined]);
  const somebody = await askTls(at.port, await clientOf(ca));
  expect(at.told(somebody.body)).toMatch(/^Hash=/);
  expect(await askTls(at.port, await clientOf(stranger))).toMatchObject({ text: "" });
});

test("the gateway removes a client's own claims about its certificate, on every listener and in every spelling", async () => {
  const ca = await authority();
  const forged = "Hash=00;Subject=CN=admin";
  const spellings = [HEADER, "X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded-Client_Cert"];
  await using at = await listening({ ca: ca.pem });
  const client = await clientOf(ca);
  const seen: string[] = [];
  const secure = await askTls(at.port, { ...client, headers: spellings.map((name) => `${name}: ${forged}`) });
  const plain = await ask(at.running.ports.httpPort, "/", {
    headers: Object.fromEntries(spellings.slice(1).map((name) => [name, forged])),
  });
  seen.push(secure.text, plain.text);
  const own = { requests: [{ ":authority": "a.example", [HEADER]: forged, x_forwarded_client_cert: forged }] };
  for (const [port, identity] of [
    [at.port, client],
    [at.running.ports.httpsPort as number, {}],
  ] as const) {
    for (const [status, body] of await askHttp2(port, { ...identity, ...own })) {
      expect(status).toBe(200);
      seen.push(body);
    }
  }
  expect(seen).toHaveLength(4);
  for (const text of seen) expect(text).not.toContain("admin");
  const trailers = spellings.flatMap((name) => [name, forged]);
  expect(trailersToPass(["x-sum", "1", ...trailers], () => false)).toEqual(["x-sum", "1"]);
  // A Connection header takes nothing of the gateway's away.
  const named = await askTls(at.port, { ...client, headers: [`connection: ${HEADER}`] });
  expect(at.told(named.body)).toMatch(/^Hash=/);
});

test("a route's conditions and templates see the certificate that was verified, and no other", async () => {
  const ca = await authority();
  await using at = await listening(
    { ca: ca.pem, mode: "verify-if-given" },
    { more: { match: { headers: [{ name: HEADER, regex: ".*;URI=spiffe://acme/.*" }] } } },
  );
  const forged = { headers: [`${HEADER}: Hash=0;URI=spiffe://acme/x`] };
  expect((await askTls(at.port, forged)).status).toBe(404);
  expect((await askTls(at.port, { ...(await clientOf(ca)), ...forged })).status).toBe(404);
  expect((await askTls(at.port, await clientOf(ca, ["spiffe://acme/x"]))).status).toBe(200);
});

test("responses cached for one certificate are not served for another certificate, nor without one", async () => {
  const ca = await authority();
  await using at = await listening({ ca: ca.pem, mode: "verify-if-given" }, { more: { cache: {} } });
  const [one, two] = [await clientOf(ca), await clientOf(ca)];
  const clients: readonly { key?: string; cert?: string }[] = [one, two, {}, one];
  for (const client of clients) {
    const { body, headers } = await askTls(at.port, client);
    expect(at.told(body) ?? "nobody").toContain(client.cert === undefined ? "nobody" : fingerprint(client.cert));
    expect(headers["cache-status"]).toMatch(at.service.requests.length < 3 ? /stored/ : /stored|hit/);
  }
  expect(at.service.requests).toHaveLength(3);
});

test("names that would end the header, or the value, are escaped", async () => {
  const ca = await authority();
  await using at = await listening({ ca: ca.pem });
  const client = await clientOf(ca, ["spiffe://a/b;Hash=0", "spiffe://a/c,By=x"], 'CN="a\\", b;URI=x", O=Jürgen');
  const answer = await askTls(at.port, client);
  expect(at.told(answer.body)).toBe(
    `Hash=${fingerprint(client.cert)};Subject="O=J\\C3\\BCrgen,CN=a\\"\\, b\\;URI=x"` +
      ';URI="spiffe://a/b;Hash=0";URI="spiffe://a/c,By=x"',
  );
});

test("a TLS session is not resumed across CAs: neither from another listener nor from before a change", async () => {
  const [ca, other] = [await authority(), await authority()];
  await using at = await listening({ ca: ca.pem });
  const client = await clientOf(ca);
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const first = await askTls(at.port, { ...client, maxVersion });
    expect(first.status).toBe(200);
    const again = await askTls(at.port, { ...client, maxVersion, session: first.session });
    expect([again.status, again.reused]).toEqual([200, false]);
    // Sessions of a listener that does not ask for certificates are rejected by a listener that does.
    const open = await askTls(at.running.ports.httpsPort as number, { maxVersion });
    expect(open.status).toBe(200);
    expect(await askTls(at.port, { maxVersion, session: open.session })).toMatchObject({ text: "", reused: false });
  }
  const before = await askTls(at.port, client);
  at.running.plane.release(at.config({ ca: other.pem }));
  await eventually("the other CA's clients are let in", async () => {
    return (await askTls(at.port, await clientOf(other))).status === 200;
  });
  expect(await askTls(at.port, { ...client, session: before.session })).toMatchObject({ text: "" });
});

test("a CA file that changes is in force for new connections without a release; a broken one changes nothing", async () => {
  await using folder = await tempFolder();
  const [ca, other] = [await authority(), await authority()];
  const caFile = join(folder.path, "clients.pem");
  await writeFile(caFile, ca.pem);
  await using at = await listening({ caFile });
  const [first, second] = [await clientOf(ca), await clientOf(other)];
  expect((await askTls(at.port, first)).status).toBe(200);
  expect((await askTls(at.port, second)).text).toBe("");
  await writeFile(caFile, "no certificate");
  await eventually("the invalid CA file is logged", () =>
    at.running.host.log.lines.some(({ message }) => message.includes("is not valid: This contains no PEM certificate")),
  );
  expect((await askTls(at.port, first)).status).toBe(200);
  await writeFile(caFile, other.pem);
  await eventually("it is in force", async () => (await askTls(at.port, second)).status === 200);
  expect((await askTls(at.port, first)).text).toBe("");
});

test("a connection from before its listener asked for certificates carries no further request", async () => {
  const ca = await authority();
  await using at = await listening({ ca: ca.pem, mode: "verify-if-given" });
  const socket = tlsConnect({ host: "127.0.0.1", port: at.port, rejectUnauthorized: false });
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const send = () => socket.write("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n");
  send();
  await eventually("it is answered", () => text.includes("200 OK"));
  at.running.plane.release(at.config({ ca: ca.pem, mode: "require" }));
  text = "";
  await eventually("it is refused, or cut", () => {
    if (!socket.destroyed) send();
    return socket.destroyed || text.includes("421 ");
  });
  const count = at.service.requests.length;
  if (!socket.destroyed) send();
  await eventually("new ones must show one", async () => (await askTls(at.port, {})).error !== "ECONNREFUSED");
  expect((await askTls(at.port, {})).text).toBe("");
  expect(at.service.requests).toHaveLength(count);
  socket.destroy();
});

test("a connection with a certificate of a former CA carries no further requests, and new connections do", async () => {
  const [ca, other] = [await authority(), await authority()];
  await using at = await listening({ ca: ca.pem });
  const socket = tlsConnect({ host: "127.0.0.1", port: at.port, rejectUnauthorized: false, ...(await clientOf(ca)) });
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const send = () => socket.write("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n");
  send();
  await eventually("it is answered", () => text.includes("200 OK"));
  at.running.plane.release(at.config({ ca: other.pem }));
  await eventually("it is cut, or refused", () => {
    if (!socket.destroyed) send();
    return socket.destroyed || text.includes("421 ");
  });
  const count = at.service.requests.length;
  if (!socket.destroyed) send();
  // The port was never closed.
  expect((await askTls(at.port, await clientOf(other))).status).toBe(200);
  expect(at.service.requests).toHaveLength(count + 1);
  socket.destroy();
});

test("a config that asks in vain is refused, with the place", async () => {
  const made = await authority();
  const ca = made.pem;
  const { key } = await made.issue(["a.example"]);
  const problems = (listener: object) =>
    parseGatewayConfig(JSON.stringify({ listeners: [{ name: "a", port: 1, tls: true, ...listener }] })).problems.map(
      ({ pointer, message }) => [pointer, message],
    );
  const at = "/listeners/0/clientCertificates";
  expect(problems({ clientCertificates: { ca } })).toEqual([]);
  for (const [listener, pointer, message] of [
    [{ clientCertificates: { ca }, tls: false }, at, /need TLS/],
    [{ clientCertificates: { ca }, name: "default", port: undefined, tls: undefined }, at, /also serves without TLS/],
    [{ clientCertificates: {} }, at, /either ca or caFile/],
    [{ clientCertificates: { ca, caFile: "/ca.pem" } }, at, /either ca or caFile/],
    [{ clientCertificates: { ca: "" } }, `${at}/ca`, /./],
    [{ clientCertificates: { ca: "hello" } }, `${at}/ca`, /no PEM certificate/],
    [{ clientCertificates: { ca: ca.replace(/\n..../, "\nAAAA") } }, `${at}/ca`, /Certificate 1 cannot be read/],
    [{ clientCertificates: { ca: `${ca}\n${ca.replace(/\n..../, "\nAAAA")}` } }, `${at}/ca`, /Certificate 2/],
    // OpenSSL would take the first and forget the second.
    [{ clientCertificates: { ca: `${ca}\n${ca}${ca}` } }, `${at}/ca`, /something other/],
    [{ clientCertificates: { ca: `${ca}\n${key}` } }, `${at}/ca`, /something other/],
  ] as const) {
    expect(problems(listener)).toContainEqual([pointer, expect.stringMatching(message)]);
  }
});
