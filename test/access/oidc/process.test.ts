/** Sign-in by OpenID Connect and by a device with real processes: a server that is killed, and the command line. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  eventually,
  type Posthouse,
  type Program,
  restartByKill,
  startPosthouse,
  startProgram,
  tempFolder,
} from "#test/kit";
import { CALLBACK } from "./kit.ts";
import { signInAtProvider } from "./person-at-provider.ts";
import { CLIENT_ID, CLIENT_SECRET, startProvider, type TestProvider } from "./provider.ts";

let folder: Awaited<ReturnType<typeof tempFolder>>;
let provider: TestProvider;
let posthouse: Posthouse;
let operator: string;
beforeAll(async () => {
  folder = await tempFolder();
  const secretFile = join(folder.path, "client-secret");
  await writeFile(secretFile, `${CLIENT_SECRET}\n`);
  provider = await startProvider({ people: { ann: { groups: ["team-a"] } } });
  const settings = [
    "--oidc-issuer",
    provider.issuer,
    "--oidc-client-id",
    CLIENT_ID,
    "--oidc-client-secret-file",
    secretFile,
  ];
  posthouse = await startPosthouse({
    data: join(folder.path, "data"),
    args: ["--roles", "registry,config-server", ...settings],
  });
  operator = posthouse.token ?? "";
  await provider.allowRedirect(`${posthouse.api}${CALLBACK}`);
});
afterAll(async () => {
  await posthouse?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

async function call(method: string, path: string, headers: Record<string, string>, body?: unknown) {
  const answer = await fetch(`${posthouse.api}${path}`, {
    method,
    redirect: "manual",
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return {
    answer,
    status: answer.status,
    json: (text.startsWith("{") ? JSON.parse(text) : {}) as Record<string, unknown>,
  };
}
const asOperator = () => ({ authorization: `Bearer ${operator}` });

/** The session's cookie of a person who signed in. */
async function session(login: string): Promise<string> {
  const start = await call("GET", "/ui/api/oidc/start", {});
  const back = await signInAtProvider(String(start.answer.headers.get("location")), login);
  const cookie = start.answer.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const { answer, json } = await call("GET", `${back.pathname}${back.search}`, { cookie });
  const found = answer.headers.getSetCookie().find((one) => one.startsWith("posthouse_session="));
  expect(found, JSON.stringify(json)).toBeDefined();
  return found?.split(";")[0] ?? "";
}

/** The code that a login shows. Fails with what it says, when it ends without one. */
async function shownCode(login: Program): Promise<string> {
  const shown = eventually("it shows the code", () => /code ([A-Z]{4}-[A-Z]{4})/.exec(login.errors())?.[1]);
  const ended = login.exited.then(() => Promise.reject(new Error(`login ended: ${login.errors()}`)));
  ended.catch(() => undefined);
  return Promise.race([shown, ended]);
}

test("a sign-in outlives the server that was killed, and the provider is asked only at the next one", async () => {
  const { status } = await call("PUT", "/v1/bindings/group:team-a", asOperator(), { policies: ["editor"] });
  expect(status).toBeLessThan(300);
  const cookie = await session("ann");
  expect((await call("GET", "/v1/me", { cookie })).json).toMatchObject({
    name: "ann@example.com",
    policies: ["editor"],
  });
  await provider.stop();
  posthouse = await restartByKill(posthouse);
  expect((await call("GET", "/v1/me", { cookie })).json).toMatchObject({
    name: "ann@example.com",
    policies: ["editor"],
  });
  expect((await call("GET", "/ui/api/oidc/start", {})).json["code"]).toBe("OIDC_PROVIDER_UNAVAILABLE");
  await provider.start();
  await eventually("a sign-in works again", async () => (await call("GET", "/ui/api/oidc/start", {})).status === 302);
});

test("posthouse login waits for a person, works with their rights, and logout ends it", async () => {
  const cookie = await session("ann");
  const csrf = String((await call("GET", "/ui/api/session", { cookie })).json["csrf"]);
  const home = join(folder.path, "home");
  const cli = (...args: string[]) =>
    startProgram("cli/main.ts", args, { environment: { HOME: home, XDG_CONFIG_HOME: "" } });
  await using login = cli("login", "--name", "build-7", "--control-urls", posthouse.api);
  const userCode = await shownCode(login);
  expect(login.errors()).toContain(`${posthouse.api}/ui/device?code=${userCode}`);
  const path = `/v1/device-logins/${userCode}`;
  expect((await call("GET", path, { cookie })).json).toMatchObject({ device: "build-7", address: "127.0.0.1" });
  const decision = await call("POST", `${path}/decision`, { cookie, "x-posthouse-csrf": csrf }, { allow: true });
  expect(decision.status).toBe(204);
  expect(await login.exited, login.errors()).toMatchObject({ code: 0 });
  expect(login.output()).toBe(`context default has a token for ${posthouse.api}\n`);
  expect(login.errors()).toMatch(/signed in as ann@example\.com until 20/);

  const contexts = join(home, ".config", "posthouse", "contexts.yaml");
  expect((await stat(contexts)).mode & 0o777).toBe(0o600);
  const token = /token: (ph_\S+)/.exec(await readFile(contexts, "utf8"))?.[1] ?? "";
  const bearer = { authorization: `Bearer ${token}` };
  expect((await call("GET", "/v1/me", bearer)).json).toMatchObject({ name: "ann@example.com", policies: ["editor"] });
  await using services = cli("services");
  expect(await services.exited, services.errors()).toMatchObject({ code: 0 });

  await using logout = cli("logout");
  expect(await logout.exited, logout.errors()).toMatchObject({ code: 0 });
  expect(logout.output()).toBe("context default has no token any more\n");
  expect(await readFile(contexts, "utf8")).not.toContain("ph_");
  await eventually("the token is over", async () => (await call("GET", "/v1/me", bearer)).status === 401);
  await using again = cli("logout");
  expect(await again.exited).toMatchObject({ code: expect.toSatisfy((code: number) => code !== 0) });
  expect(again.errors()).toContain("has no token");
});

test("posthouse login says that it was denied, and stores nothing", async () => {
  const cookie = await session("ann");
  const csrf = String((await call("GET", "/ui/api/session", { cookie })).json["csrf"]);
  const environment = { HOME: join(folder.path, "other-home"), XDG_CONFIG_HOME: "" };
  await using login = startProgram("cli/main.ts", ["login", "--control-urls", posthouse.api], { environment });
  const userCode = await shownCode(login);
  const path = `/v1/device-logins/${userCode}/decision`;
  await call("POST", path, { cookie, "x-posthouse-csrf": csrf }, { allow: false });
  expect(await login.exited).toMatchObject({ code: expect.toSatisfy((code: number) => code !== 0) });
  expect(login.errors()).toContain("DEVICE_ACCESS_DENIED");
  await expect(stat(join(environment.HOME, ".config"))).rejects.toThrow(/ENOENT/);
});
