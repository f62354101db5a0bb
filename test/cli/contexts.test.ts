/** Contexts: their file, what overrides what, and that a token is sent to no other control plane. */
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tempFolder, type TempFolder } from "#test/kit";
import { type ListeningControl, run, type RunOptions, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: TempFolder;
let file: string;
beforeAll(async () => {
  control = await withListeningControl();
  folder = await tempFolder();
  file = join(folder.path, "posthouse", "contexts.yaml");
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const here = (line: string, options: RunOptions = {}) =>
  run(line.split(" "), { ...options, environment: { XDG_CONFIG_HOME: folder.path, ...options.environment } });
const shown = async (line: string, environment: Record<string, string> = {}) =>
  JSON.parse((await here(`context show -o json ${line}`.trim(), { environment })).out) as Record<string, unknown>;

test("a login checks the token, stores it for its user alone, and commands then find the control plane", async () => {
  const refused = await here(`login --token - --control-urls ${control.url}`, { input: "ph_wrong\n" });
  expect(refused.code).toBe(4);
  await expect(stat(file)).rejects.toThrow("ENOENT");

  const done = await here(`login --token - --control-urls ${control.url}`, { input: `${control.token}\n` });
  expect(done).toMatchObject({ code: 0, out: expect.stringContaining("context default") as string });
  expect(done.out + done.err).not.toContain(control.token);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await here("members")).code).toBe(0);
  expect((await here("context ls")).out).toContain(control.url);
  expect((await here("context ls -o json")).out).not.toContain(control.token);
});

test("a token on the command line is refused", async () => {
  for (const line of ["login --token ph_x", "context set x --token ph_x"]) {
    expect(await here(line)).toMatchObject({ code: 2, err: expect.stringContaining("visible to others") as string });
  }
});

test("a flag overrides the environment, the environment the context, and the context the default", async () => {
  expect(await shown("")).toMatchObject({
    controlUrls: [control.url],
    controlUrlsFrom: "context",
    tokenFrom: "context",
  });
  const environment = { POSTHOUSE_CONTROL_URLS: "http://127.0.0.1:2", POSTHOUSE_TOKEN: "ph_e" };
  expect(await shown("", environment)).toMatchObject({ controlUrls: ["http://127.0.0.1:2"], tokenFrom: "environment" });
  expect(await shown("--control-urls http://127.0.0.1:3 --token ph_f", environment)).toMatchObject({
    controlUrls: ["http://127.0.0.1:3"],
    controlUrlsFrom: "flag",
    tokenFrom: "flag",
  });
  // A context that is named by a flag is a flag.
  expect(await shown("--context default", environment)).toMatchObject({
    controlUrlsFrom: "context",
    tokenFrom: "context",
  });
  const settings = join(folder.path, "settings.yaml");
  await writeFile(settings, "controlUrls: [http://127.0.0.1:4]\ntoken: ph_s\n");
  expect(await shown(`--settings ${settings}`)).toMatchObject({
    controlUrls: ["http://127.0.0.1:4"],
    controlUrlsFrom: "settings file",
    tokenFrom: "settings file",
  });
  const nobody = { XDG_CONFIG_HOME: join(folder.path, "nobody") };
  expect(await shown("", nobody)).toMatchObject({
    controlUrls: ["http://127.0.0.1:8500"],
    controlUrlsFrom: "default",
    token: "none",
  });
});

test("the token of a context is not sent to another control plane", async () => {
  expect(await shown("--control-urls http://127.0.0.1:9")).toMatchObject({ token: "none" });
  expect(await shown("", { POSTHOUSE_CONTROL_URLS: "http://127.0.0.1:9" })).toMatchObject({ token: "none" });
  expect(await here("members --control-urls http://127.0.0.1:9")).toMatchObject({ code: 4 });
});

test("a misspelled variable and a missing context are reported", async () => {
  const misspelled = await here("members", { environment: { POSTHOUSE_CONTROL_URL: "http://127.0.0.1:2" } });
  expect(misspelled).toMatchObject({ code: 2, err: expect.stringContaining("SETTINGS_UNKNOWN") as string });
  expect(await here("members --context nowhere")).toMatchObject({
    code: 3,
    err: expect.stringContaining("context set nowhere") as string,
  });
  expect((await here("members", { environment: { POSTHOUSE_CONTEXT: "nowhere" } })).code).toBe(3);
});

test("contexts are set, used and removed; a token file is read at each use", async () => {
  const token = join(folder.path, "token");
  await writeFile(token, `${control.token}\n`);
  expect((await here(`context set other --control-urls ${control.url} --token-file ${token}`)).code).toBe(0);
  expect((await here("members --context other")).code).toBe(0);
  await writeFile(token, "ph_old\n");
  expect((await here("members --context other")).code).toBe(4);
  expect((await here("context use other")).code).toBe(0);
  expect((await here("members")).code).toBe(4);
  expect((await here("context rm other")).code).toBe(0);
  expect(await readFile(file, "utf8")).not.toContain("other");
  expect((await here("context use default")).code).toBe(0);
  expect((await here("members")).code).toBe(0);
});

test("a file with tokens that others can read is refused, and one that is not valid says where", async () => {
  await chmod(file, 0o644);
  expect(await here("members")).toMatchObject({
    code: 2,
    err: expect.stringContaining("CLI_CONTEXTS_EXPOSED") as string,
  });
  await chmod(file, 0o600);
  await mkdir(join(folder.path, "bad", "posthouse"), { recursive: true });
  for (const [text, words] of [
    ["contexts: { a: { url: x } }", 'unknown field "url"'],
    ["contexts: [", "not valid YAML"],
    ["token: x", 'unknown field "token"'],
  ] as const) {
    await writeFile(join(folder.path, "bad", "posthouse", "contexts.yaml"), text);
    const { code, err } = await here("members", { environment: { XDG_CONFIG_HOME: join(folder.path, "bad") } });
    expect([code, err]).toEqual([2, expect.stringContaining(words)]);
  }
});
