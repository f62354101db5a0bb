/** The control API over TLS as a user meets it: a process with TLS, commands, a gateway elsewhere, certificates of clients, and testssl. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fetchTransport } from "#client";
import {
  type Answer,
  call,
  eventually,
  hangSignal,
  type Posthouse,
  startPosthouse,
  startProgram,
  tempFolder,
  type TempFolder,
} from "#test/kit";
import { authority } from "../gateway/certificates.ts";

const CONTROL = ["--roles", "registry", "config-server", "--dns", "off", "--tls", "on"];

let folder: TempFolder;
let posthouse: Posthouse;
let fingerprint: string;
beforeAll(async () => {
  folder = await tempFolder();
  posthouse = await startPosthouse({ data: join(folder.path, "data"), args: CONTROL });
  fingerprint = /^ {2}fingerprint +([0-9a-f]{64})/m.exec(posthouse.output())?.[1] ?? "";
});
afterAll(async () => {
  await posthouse[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

interface CallOptions {
  readonly token?: string | undefined;
  readonly cert?: string;
  readonly key?: string;
}

/** One request that looks at nothing but the answer. */
async function ask(path: string, { token, ...pair }: CallOptions = {}): Promise<{ status: number; text: string }> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const sent = request(new URL(path, posthouse.api), { ...pair, headers, rejectUnauthorized: false, agent: false });
  const [answer] = (await once(sent.end(), "response")) as [AsyncIterable<Buffer> & { statusCode: number }];
  let text = "";
  for await (const chunk of answer) text += chunk.toString();
  return { status: answer.statusCode, text };
}

/** A command as a user with a home folder of its own. */
async function run(
  args: readonly string[],
  input = "",
): Promise<{ code: number | null; output: string; errors: string }> {
  const home = join(folder.path, "home");
  await mkdir(home, { recursive: true });
  const child = execFile(process.execPath, ["bin/posthouse", ...args], {
    env: { PATH: process.env["PATH"], HOME: home },
  });
  child.stdin?.end(input);
  let [output, errors] = ["", ""];
  child.stdout?.on("data", (chunk: string) => (output += chunk));
  child.stderr?.on("data", (chunk: string) => (errors += chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output, errors };
}

test("a first login without the fingerprint fails with it, and with it the context is enough from then on", async () => {
  const token = posthouse.token ?? "";
  const refused = await run(["login", posthouse.api, "--token", "-"], token);
  expect([refused.code === 0, refused.errors]).toEqual([false, expect.stringContaining("CLIENT_UNTRUSTED")]);
  expect(refused.errors).toContain(fingerprint);
  const wrong = fingerprint.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
  expect((await run(["login", posthouse.api, "--fingerprint", wrong, "--token", "-"], token)).code).not.toBe(0);
  const done = await run(["login", posthouse.api, "--fingerprint", fingerprint, "--token", "-"], token);
  expect([done.code, done.errors]).toEqual([0, expect.stringContaining("stored in")]);
  const stored = await readFile(join(folder.path, "home", ".config", "posthouse", "contexts.yaml"), "utf8");
  expect(stored).toMatch(/BEGIN CERTIFICATE/);
  expect((await run(["members"])).output).toContain("yes");
});

test("a gateway in another process verifies it by its fingerprint, and starts with no other", async () => {
  const { api, token = "" } = posthouse;
  const args = (pin: string) =>
    ["--roles", "gateway", "--control-urls", api, "--control-fingerprint", pin].concat("--token", token);
  const data = join(folder.path, "gateway");
  await using gateway = await startPosthouse({ data, args: args(fingerprint) });
  const ready = async (one: Posthouse): Promise<Answer> => call(`${one.operations}/readyz`);
  await eventually("it has routes and endpoints", async () => (await ready(gateway)).status === 200);
  const other = (await authority()).fingerprint;
  await using lost = await startPosthouse({ data: `${data}-2`, args: args(other) });
  await eventually("it says why", () => lost.errors().includes(`Trusted: ${other}`));
  expect((await ready(lost)).status).toBe(503);
});

test("a client certificate of another authority is refused with its reason, and a token beside it decides", async () => {
  const foreign = await (await authority()).issue(["spiffe://posthouse/agent/web-1"]);
  const { status, text } = await ask("/v1/me", foreign);
  expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([401, "IDENTITY_CERTIFICATE_UNKNOWN_ISSUER"]);
  expect((await ask("/v1/me", { ...foreign, token: posthouse.token })).status).toBe(200);
  expect((await ask("/livez", foreign)).status).toBe(200);
  expect(JSON.parse((await ask("/v1/me")).text)).toMatchObject({ code: "HTTP_TOKEN_MISSING" });
});

test("plain HTTP to the port is answered with the way out", async () => {
  const { status, json } = await call(`${posthouse.api.replace("https:", "http:")}/livez`);
  expect([status, json["code"]]).toEqual([400, "HTTP_TLS_ONLY"]);
});

test("a certificate of the operator's own is served, and a renewed one without a restart", async () => {
  const own = await authority();
  const [certFile, keyFile] = ["cert.pem", "key.pem"].map((name) => join(folder.path, name)) as [string, string];
  const write = async () => {
    const { cert, key } = await own.issue(["127.0.0.1"]);
    await writeFile(keyFile, key);
    await writeFile(certFile, cert);
    return cert;
  };
  await write();
  const files = ["--tls-cert-file", certFile, "--tls-key-file", keyFile];
  await using other = await startPosthouse({ data: join(folder.path, "files"), args: [...CONTROL, ...files] });
  await using transport = fetchTransport({ urls: [other.api], tls: { ca: own.pem } });
  const live = async () =>
    (await transport.request({ method: "GET", path: "/livez", signal: hangSignal() })).status === 200;
  expect(await live()).toBe(true);
  const renewed = await write();
  await eventually("the renewed one is served", async () => {
    const sent = request(new URL("/livez", other.api), { ca: own.pem, agent: false });
    const [answer] = (await once(sent.end(), "response")) as [{ socket: { getPeerX509Certificate(): unknown } }];
    return String(answer.socket.getPeerX509Certificate()).trim() === renewed.trim();
  });
  expect(await live()).toBe(true);
  expect(other.output()).not.toContain("fingerprint");
});

test("an exposed agent without a certificate does not start, and says what to do", async () => {
  const data = join(folder.path, "agent");
  const control = ["--control-urls", posthouse.api, "--control-fingerprint", fingerprint, "--token", "ph_x"];
  const args = [
    "up",
    "--roles",
    "agent",
    "--data",
    data,
    "--tls",
    "on",
    "--agent-port",
    "0",
    "--dns",
    "off",
    ...control,
  ];
  await using agent = startProgram("bin/posthouse", args);
  expect((await agent.exited).code).not.toBe(0);
  expect(agent.errors()).toMatch(/SERVER_NO_CERTIFICATE[^]*tlsCertFile/);
});

/** Findings of testssl that are due to an authority of one's own, whose certificates last a day. */
const OWN_AUTHORITY = new Set([
  "cert_chain_of_trust",
  "cert_expirationStatus",
  "cert_notAfter",
  "cert_revocation",
  "DNS_CAArecord",
]);
const SEVERE = new Set(["MEDIUM", "HIGH", "CRITICAL"]);

test("testssl finds nothing but that the authority is our own", { timeout: 600_000 }, async () => {
  const json = join(folder.path, "testssl.json");
  const checks = ["--protocols", "--std", "--fs", "--server-defaults"];
  const quiet = ["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--fast"];
  const { host } = new URL(posthouse.api);
  const child = execFile("testssl", [...quiet, ...checks, "--jsonfile", json, host]);
  await once(child, "close");
  const findings = JSON.parse(await readFile(json, "utf8")) as { id: string; severity: string; finding: string }[];
  expect(findings.length).toBeGreaterThan(20);
  const severe = findings.filter(({ id, severity }) => SEVERE.has(severity) && !OWN_AUTHORITY.has(id));
  expect(severe).toEqual([]);
  expect(findings.find(({ id }) => id === "TLS1_3")?.severity).toBe("OK");
});
