/** Where keys for secrets come from: real files and programs, good ones, bad ones and slow ones. */
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { keyCommand, keyFile, keyLine, ownKeyFile, SecretKeys, type KeySource } from "#config-server";
import { eventually, startProgram, tempFolder, testHost, withControl } from "#test/kit";
import { CANARY, key, PATH, publish, secret, tokensOf, valuesOf } from "./secrets-kit.ts";

const GOOD = key("k1", 1);
const load = async (source: KeySource) => {
  const keys = new SecretKeys(testHost(), source);
  await keys.load();
  return keys;
};

test("the first key of a file is the active one, comments and blank lines apart", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await writeFile(path, `# the keys\n\n${key("k2", 2)}\r\n  ${GOOD}  \n`, { mode: 0o600 });
  const keys = await load(keyFile(path));
  expect([keys.active?.id, keys.ids]).toEqual(["k2", ["k2", "k1"]]);
});

test.each([
  ["31 bytes", `k1:${Buffer.alloc(31).toString("base64")}`, "line 1"],
  ["33 bytes", `k1:${Buffer.alloc(33).toString("base64")}`, "line 1"],
  ["no id", Buffer.alloc(32).toString("base64"), "line 1"],
  ["an id twice", `${GOOD}\n# again\n${key("k1", 2)}`, "line 3"],
  ["another spelling of base64", GOOD.replace(/.=$/, "F="), "line 1"],
  ["base64url", `k1:${Buffer.alloc(32, 255).toString("base64url")}`, "line 1"],
  ["nothing", "# no key\n", "contains no key"],
  ["too many", Array.from({ length: 65 }, (_, i) => key(`k${i}`, i)).join("\n"), "line 65"],
])("a file with %s is refused by its line, and is not quoted", async (_what, text, where) => {
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await writeFile(path, text, { mode: 0o600 });
  const error = (await load(keyFile(path)).catch((error: unknown) => error)) as Error & { code: string };
  expect(error.code).toBe("CONFIG_SECRET_KEYS_INVALID");
  expect(error.message.toLowerCase()).toContain(where);
  for (const line of text.split("\n")) if (line.includes(":")) expect(error.message).not.toContain(line.split(":")[1]);
});

test.each([
  [0o600, true],
  [0o400, true],
  [0o440, true],
  [0o640, true],
  [0o660, false],
  [0o604, false],
  [0o644, false],
  [0o666, false],
])("a key file of mode %o is taken: %s", async (mode, taken) => {
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await writeFile(path, GOOD);
  await chmod(path, mode);
  const link = join(folder.path, "link");
  await symlink(path, link);
  for (const one of [path, link]) {
    const loaded = await load(keyFile(one)).then(
      () => true,
      (error: Error) => error.message,
    );
    if (taken) expect(loaded).toBe(true);
    else expect(loaded).toContain("chmod 600");
  }
});

test.each([
  ["is not there", async () => {}, "cannot be read"],
  ["is a folder", (path: string) => mkdir(path, { mode: 0o700 }), "is not a file"],
  ["is a pipe", async (path: string) => void execFileSync("mkfifo", ["-m", "600", path]), "is not a file"],
  ["is huge", (path: string) => writeFile(path, "#".repeat(70_000), { mode: 0o600 }), "at most 65536 are allowed"],
])("a key file that %s is refused", async (_what, make, says) => {
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await make(path);
  await expect(load(keyFile(path))).rejects.toMatchObject({
    code: "CONFIG_SECRET_KEYS_INVALID",
    message: expect.stringContaining(says) as string,
  });
});

test("a program's keys are those that it prints", async () => {
  const keys = await load(keyCommand(testHost(), ["/bin/echo", GOOD]));
  expect(keys.active?.id).toBe("k1");
});

test.each([
  ["fails", ["/bin/sh", "-c", `echo ${CANARY}; echo ${CANARY} >&2; exit 3`], "ended with code 3"],
  ["is none", ["/no/such/program"], "cannot be run"],
  ["prints garbage", ["/bin/echo", CANARY], "Line 1"],
  ["never stops printing", ["/bin/sh", "-c", "yes"], "more than 65536 bytes"],
  ["hangs, and what it started with it", ["/bin/sh", "-c", "sleep 600 & sleep 600"], "took more than 0.3 s"],
  ["ends itself", ["/bin/sh", "-c", "kill -9 $$"], "SIGKILL"],
])("a program that %s is refused, and is not quoted", async (_what, command, says) => {
  const started = performance.now();
  const error: unknown = await load(keyCommand(testHost(), command as [string, ...string[]], 300)).catch(
    (error: unknown) => error,
  );
  expect(error).toMatchObject({ code: "CONFIG_SECRET_KEYS_INVALID", message: expect.stringContaining(says) as string });
  expect((error as Error).message).not.toContain(CANARY);
  // Far from the ten minutes of a program that hangs.
  expect(performance.now() - started).toBeLessThan(60_000);
});

test("when keys can no longer be read, the known keys stay, and one error is logged", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await writeFile(path, GOOD, { mode: 0o600 });
  const host = testHost();
  const keys = new SecretKeys(host, keyFile(path));
  await keys.load();
  await rm(path);
  await keys.reload();
  await keys.reload();
  expect([keys.active?.id, keys.problem]).toEqual(["k1", expect.stringContaining("cannot be read")]);
  expect(host.log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  await writeFile(path, key("k2", 2), { mode: 0o600 });
  await keys.reload();
  expect([keys.active?.id, keys.problem]).toEqual(["k2", undefined]);
});

test("the first secret makes a key file of one node, readable by its owner alone, and a restart reads it", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "secret-keys");
  const host = testHost();
  await using first = await withControl({ host, secretKeys: ownKeyFile(host, path) });
  await publish(first, { host: { format: "text", value: "db" } });
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  await Promise.all(
    ["a", "b", "c"].map((app) => publish(first, { password: secret(CANARY) }, `/v1/config/default/${app}/default`)),
  );
  expect(((await stat(path)).mode & 0o777).toString(8)).toBe("600");
  expect((await readFile(path, "utf8")).trim().split("\n")).toHaveLength(1);
  expect(host.log.lines.filter(({ message }) => message.includes("back it up"))).toHaveLength(1);
  await using second = await withControl({ store: first.store, secretKeys: ownKeyFile(testHost({ seed: 2 }), path) });
  const { agent } = await tokensOf(second);
  expect(valuesOf((await second.call("GET", "/v1/config/default/a/default", undefined, agent)).json)).toEqual({
    password: CANARY,
  });
});

test("a missing key file is not created again while secrets need the old one", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "secret-keys");
  const host = testHost();
  await using first = await withControl({ host, secretKeys: ownKeyFile(host, path) });
  await publish(first, { password: secret(CANARY) });
  await rm(path);
  await using second = await withControl({ store: first.store, secretKeys: ownKeyFile(testHost({ seed: 2 }), path) });
  const { json } = await second.call("POST", `${PATH}/releases`, { items: { other: secret("x") } });
  expect(json["code"]).toBe("CONFIG_SECRETS_UNCONFIGURED");
  expect(json["detail"]).toContain(path);
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
});

test("the program prints a line that a key file takes, and another one each time", async () => {
  const lines: string[] = [];
  for (let i = 0; i < 2; i++) {
    await using program = startProgram("bin/posthouse", ["secret-key", "generate"]);
    expect((await program.exited).code).toBe(0);
    lines.push(program.output().trim());
  }
  await using folder = await tempFolder();
  const path = join(folder.path, "keys");
  await writeFile(path, lines.join("\n"), { mode: 0o600 });
  expect((await load(keyFile(path))).ids).toHaveLength(2);
});

test.each([
  ["a key file that others may read", ["--secret-key-file", "keys"], "CONFIG_SECRET_KEYS_INVALID"],
  [
    "a file and a program",
    ["--secret-key-file", "keys", "--secret-key-command", "/bin/true"],
    "SERVER_SETTINGS_CONFLICT",
  ],
  ["a program by a relative path", ["--secret-key-command", "true"], "SERVER_SETTINGS_CONFLICT"],
])("a start with %s fails with the setting to correct", async (_what, args, code) => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, "keys"), GOOD, { mode: 0o644 });
  const given = [
    "up",
    "--data",
    folder.path,
    "--store",
    "memory",
    "--roles",
    "registry",
    "config-server",
    "--dns",
    "off",
    "--port",
    "0",
    ...args,
  ];
  await using program = startProgram("bin/posthouse", given, { cwd: folder.path });
  const { code: exit } = await program.exited;
  expect([exit, program.errors()]).toEqual([2, expect.stringContaining(code)]);
});

test("a new key has an id by its day", () => {
  const { random, clock } = testHost();
  expect(keyLine(random, clock.now())).toMatch(/^20\d\d-\d\d-\d\d-[0-9a-f]{8}:/);
});

test("a program that fails keeps nothing from starting but secrets, and is asked again", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "answer");
  const source = { ...keyCommand(testHost(), ["/bin/cat", path]), reloadMs: 20 };
  await using control = await withControl({ secretKeys: source });
  const release = () => control.call("POST", `${PATH}/releases`, { items: { password: secret(CANARY) } });
  const refused = (await release()).json;
  expect([refused["code"], refused["detail"]]).toEqual([
    "CONFIG_SECRETS_UNCONFIGURED",
    expect.stringContaining("/bin/cat"),
  ]);
  expect((await control.call("GET", "/v1/config-secrets")).json["problem"]).toContain("ended with code 1");
  await writeFile(path, GOOD);
  await eventually("it is asked again", async () => (await release()).status === 201);
});
