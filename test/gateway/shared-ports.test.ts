/** Listeners that share a port: whose certificate is shown, whose routes serve, and what does not cross between them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseGatewayConfig } from "#gateway";
import { eventually, tempFolder, freePort } from "#test/kit";
import { Ports } from "../../gateway/core/request/listener-ports.ts";
import { authority } from "./certificates.ts";
import { ask } from "./echo.ts";
import { instance, runGateway, upstream } from "./kit.ts";
import { askHttp2, askTls, fingerprint } from "./tls-kit.ts";

const answering = (name: string, ...listeners: string[]) => ({
  name,
  match: {},
  listeners,
  respond: { status: 200, body: name },
});

test("a listener's host is its alone: exact, then the longer wildcard, then any", () => {
  const ports = new Ports([
    { name: "any", port: 1 },
    { name: "wide", port: 1, hosts: ["*.Example"] },
    { name: "narrow", port: 1, hosts: ["*.a.example", "c.example"] },
    { name: "exact", port: 1, hosts: ["A.example"] },
    { name: "alone", port: 2, hosts: ["b.example"] },
  ]);
  const hosts = { "a.example": "exact", "b.a.example": "narrow", "x.b.a.example": "narrow", "c.example": "narrow" };
  const more = { "b.example": "wide", "x.c.example": "wide", example: "any", ".example": "any", "[::1]": "any" };
  for (const [host, name] of Object.entries({ ...hosts, ...more }))
    expect([host, ports.of(1, host)]).toEqual([host, name]);
  // The only listener of a port gets every host, and its routes check the host.
  expect(ports.of(2, "a.example")).toBe("alone");
  expect(ports.of(3, "a.example")).toBe("");
  const misdirected = (serverName: string, host: string) => ports.misdirected(1, { serverName, host });
  expect(misdirected("a.example", "a.example")).toBe(false);
  expect(misdirected("b.example", "d.example")).toBe(false);
  expect(misdirected("b.example", "a.example")).toBe(true);
  expect(misdirected("other", "a.example")).toBe(true);
  expect(ports.misdirected(2, { serverName: "a.example", host: "b.example" })).toBe(false);
});

test("listeners on one plain port have each their hosts and routes", async () => {
  const port = await freePort();
  const listener = (name: string, hosts?: string[]) => ({ name, port, attach: "named", ...(hosts ? { hosts } : {}) });
  const routes = [answering("one", "one"), answering("wild", "wild"), answering("any", "any")];
  const one = listener("one", ["a.example"]);
  const wild = listener("wild", ["*.example"]);
  await using running = await runGateway({ listeners: [one, wild], routes: routes.slice(0, 2) }, []);
  const body = async (host: string) => {
    const { status, text } = await ask(port, "/", { host });
    return status === 200 ? text : status;
  };
  await eventually("it is open", () => body("a.example").catch(() => undefined));
  expect([await body("a.example"), await body("b.example"), await body("a.other")]).toEqual(["one", "wild", 404]);
  // A request without a route on the more exact listener finds none: the other's routes are for other hosts.
  running.plane.release({ listeners: [one, wild], routes: [answering("wild", "wild")] });
  await eventually("the route is gone", async () => (await body("a.example")) === 404);
  expect(await body("b.example")).toBe("wild");
  running.plane.release({ listeners: [wild, listener("any")], routes: routes.slice(1) });
  await eventually("another has the rest", async () => (await body("a.other")) === "any");
  expect(await body("a.example")).toBe("wild");
});

async function shared(
  options: { clients?: object; own?: boolean; certificates?: (name: string) => object[] | undefined } = {},
) {
  const stack = new AsyncDisposableStack();
  const ca = await authority();
  const made = {
    own: await ca.issue(["own.example"]),
    a: await ca.issue(["a.example"]),
    wild: await ca.issue(["*.example"]),
    other: await ca.issue(["*.shop.example", "c.other"]),
  };
  const port = await freePort();
  const service = stack.use(await upstream());
  const listener = (name: string, hosts: string[], certificates: object[] | undefined) => ({
    name,
    port,
    hosts,
    tls: true,
    attach: "named",
    ...(certificates ? { certificates } : {}),
    ...(options.clients ? { clientCertificates: options.clients } : {}),
  });
  const config = {
    listeners: [
      listener("wild", ["*.example", "c.other"], [made.wild, made.other]),
      listener("a", ["a.example"], [made.a]),
      listener("plain", ["plain.other"], undefined),
    ],
    routes: [answering("wild", "wild"), answering("a", "a"), answering("plain", "plain")],
  };
  const running = stack.use(await runGateway(config, [instance(service.port)], { tls: made.own }));
  await eventually("it is open", async () => (await askTls(port, {})).error !== "ECONNREFUSED");
  return {
    ca,
    made,
    port,
    config,
    running,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

test("the name that a client asks for chooses the listener, and the matching one of its certificates", async () => {
  await using at = await shared();
  for (const [servername, certificate, body] of [
    ["a.example", at.made.a, "a"],
    ["A.EXAMPLE", at.made.a, "a"],
    ["x.example", at.made.wild, "wild"],
    ["b.shop.example", at.made.other, "wild"],
    ["c.other", at.made.other, "wild"],
    ["plain.other", at.made.own, "plain"],
    // An unknown name gets the first listener's certificate, and no route.
    ["nobody.other", at.made.wild, undefined],
  ] as const) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const answer = await askTls(at.port, { servername, maxVersion });
      expect([servername, answer.certificate]).toEqual([servername, fingerprint(certificate.cert)]);
      expect([servername, answer.status === 200 ? answer.body : undefined]).toEqual([servername, body]);
    }
  }
  for (const servername of [
    ".",
    "..",
    "*.example",
    "a.example.",
    "-",
    "a b",
    "\u00fc.example",
    "x".repeat(250),
    "[::1]",
    "__proto__",
  ]) {
    await askTls(at.port, { servername });
  }
  // A client that names no host in the handshake may name any in the request.
  expect(await askTls(at.port, { host: "a.example" })).toMatchObject({ status: 200, body: "a" });
});

test("a connection for one listener carries no request for another's host: 421, over HTTP/1.1 and HTTP/2", async () => {
  await using at = await shared();
  const crossed = await askTls(at.port, { servername: "x.example", host: "a.example" });
  expect([crossed.status, crossed.headers["x-posthouse-flag"], crossed.headers["connection"]]).toEqual([
    421,
    "MD",
    "close",
  ]);
  expect((await askTls(at.port, { servername: "a.example", host: "a.EXAMPLE.:443" })).status).toBe(200);
  expect((await askTls(at.port, { servername: "unknown.other", host: "a.example" })).status).toBe(421);
  expect((await askTls(at.port, { servername: "x.example", host: "unknown.other" })).status).toBe(404);
  const answers = await askHttp2(at.port, {
    servername: "x.example",
    requests: [{ ":authority": "x.example" }, { ":authority": "y.example" }, { ":authority": "a.example" }],
  });
  expect(answers.map(([status]) => status)).toEqual([200, 200, 421]);
});

test("a session of one host, resumed for another, opens neither its routes nor those that ask for certificates", async () => {
  const clients = await authority();
  await using at = await shared({ clients: { ca: clients.pem } });
  const client = await clients.issue(["client.example"]);
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const first = await askTls(at.port, { ...client, servername: "x.example", maxVersion });
    expect([first.status, first.body]).toEqual([200, "wild"]);
    const { session } = first;
    expect((await askTls(at.port, { servername: "a.example", maxVersion, session })).text).toBe("");
    const again = await askTls(at.port, { ...client, servername: "a.example", maxVersion, session });
    expect([again.status, again.body, again.reused]).toEqual([200, "a", false]);
    // The CA is checked for any name: an unknown one, and an absent one.
    const stranger = await (await authority()).issue(["client.example"]);
    for (const servername of ["a.example", "plain.other", "nobody.other", ""]) {
      expect([servername, (await askTls(at.port, { ...stranger, servername, maxVersion })).text]).toEqual([
        servername,
        "",
      ]);
      expect([servername, (await askTls(at.port, { servername, maxVersion })).text]).toEqual([servername, ""]);
    }
  }
});

test("certificates come from files, and a renewed file is served without a release", async () => {
  await using folder = await tempFolder();
  const ca = await authority();
  const [first, second] = [await ca.issue(["a.example"]), await ca.issue(["a.example"])];
  const [certFile, keyFile] = [join(folder.path, "tls.crt"), join(folder.path, "tls.key")];
  await writeFile(certFile, first.cert);
  await writeFile(keyFile, first.key);
  const port = await freePort();
  // The gateway itself has none.
  const config = {
    listeners: [{ name: "secure", port, tls: true, certificates: [{ certFile, keyFile }] }],
    routes: [answering("r", "secure")],
  };
  await using running = await runGateway(config, []);
  const shown = async () => (await askTls(port, { servername: "a.example" })).certificate;
  await eventually("it is shown", async () => (await shown()) === fingerprint(first.cert));
  // Half of the new pair is not a valid pair; the old one stays in use.
  await writeFile(certFile, second.cert);
  await eventually("the mismatch is logged", () =>
    running.host.log.lines.some(({ message }) => message.includes("not the key of the first certificate")),
  );
  expect(await shown()).toBe(fingerprint(first.cert));
  await writeFile(keyFile, second.key);
  await eventually("the new one is shown", async () => (await shown()) === fingerprint(second.cert));
  expect(JSON.stringify(running.host.log.lines)).not.toContain("PRIVATE KEY");
});

test("a release changes certificates under open connections", async () => {
  await using at = await shared();
  const listeners = at.config.listeners.map((one) =>
    one.name === "a" ? { ...one, certificates: [at.made.own] } : one,
  );
  at.running.plane.release({ ...at.config, listeners });
  await eventually("another is shown", async () => {
    return (await askTls(at.port, { servername: "a.example" })).certificate === fingerprint(at.made.own.cert);
  });
  expect((await askTls(at.port, { servername: "x.example" })).certificate).toBe(fingerprint(at.made.wild.cert));
});

test("a certificate that is invalid, or does not match its key, is refused with its place and without its key", async () => {
  const ca = await authority();
  const [one, other] = [await ca.issue(["a.example"]), await ca.issue(["a.example"])];
  const problems = (certificate: object) =>
    parseGatewayConfig(
      JSON.stringify({ listeners: [{ name: "a", port: 1, tls: true, certificates: [one, certificate] }] }),
    ).problems.map(({ pointer, message }) => [pointer, message]);
  const at = "/listeners/0/certificates/1";
  expect(problems(other)).toEqual([]);
  for (const [certificate, pointer, message] of [
    [{ ...one, key: other.key }, `${at}/key`, /not the key of the first/],
    [{ ...one, cert: "x" }, `${at}/cert`, /no PEM certificate/],
    [{ ...one, key: "x" }, `${at}/key`, /no PEM private key/],
    [{ ...one, key: one.key.replace("MI", "XX") }, `${at}/key`, /no PEM private key/],
  ] as const) {
    const found = problems(certificate);
    expect(found).toEqual([[pointer, expect.stringMatching(message)]]);
    expect(JSON.stringify(found)).not.toContain(one.key.split("\n")[1]);
  }
});
