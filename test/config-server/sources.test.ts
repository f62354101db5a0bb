/** Mirrors of real git repositories and folders: a valid commit becomes live, an invalid one is reported and does not. */
import { execFile } from "node:child_process";
import { appendFile, chmod, mkdir, readdir, rename, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { TRANSFER_FILE_BYTES_MAX, type SetName, type SourceStatus } from "#config-server/api";
import type { SourceSettings } from "#config-server";
import { eventually, tempFolder, type TestControl, testHost, withControl } from "#test/kit";
import { openMemoryStore, type Store } from "#store";
import type { Host } from "#base";
import { GIT_FILE_BYTES_MAX } from "../../config-server/sources/git.ts";
import { releaseTexts, repository, writeFiles } from "./transfer-kit.ts";

const ORDERS = { namespace: "default", app: "orders", profile: "default" };
const FILE = "orders/default/a.txt";
/** Longer than any test: these rounds come from `sync` alone. */
const NEVER = 86_400;

const source = (path: string, given: Partial<SourceSettings> = {}): SourceSettings => ({
  name: "config",
  type: "git",
  path,
  branch: "main",
  namespace: "default",
  intervalSeconds: NEVER,
  prune: false,
  ...given,
});

/** A store in which some other member mirrors these sources, so that here only `sync` looks at them. */
async function mirroredElsewhere(host: Host, ...names: readonly string[]): Promise<Store> {
  const store = openMemoryStore(host);
  const value = new TextEncoder().encode('{"member":"another"}');
  for (const name of names) await store.txn({ then: [{ type: "put", key: `/config/mirrors/${name}`, value }] });
  return store;
}

/** A control API with one source, which it looks at when asked. */
async function mirroring(path: string, given: Partial<SourceSettings> = {}): Promise<TestControl> {
  const host = testHost();
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await mirroredElsewhere(host, "config"));
  const control = stack.use(await withControl({ host, store, configSources: [source(path, given)] }));
  const owned = stack.move();
  return { ...control, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const sync = (control: TestControl, name = "config") => control.client.config.syncSource(name);

async function status(control: TestControl): Promise<SourceStatus> {
  const { sources } = await control.client.config.sources();
  return sources[0] as SourceStatus;
}

/** Looks that found nothing new. */
async function rounds(control: TestControl): Promise<number> {
  const { text } = await control.host.metrics.expose();
  return Number(/rounds_total\{source="config",result="unchanged"\} (\d+)/.exec(text)?.[1] ?? 0);
}

async function live(control: TestControl, set: SetName = ORDERS) {
  const { releases } = await control.client.config.releases(set, { limit: 1 });
  const [newest] = releases;
  const { items } = await control.client.config.release(set, newest?.version ?? 0);
  return { ...newest, values: Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value])) };
}

test("a commit is one release per changed set, with its id, author and message, by the principal of the source", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one", "shop/prod/b.yaml": "b: 1", "README.md": "not config" }, "begin\n\nwith two sets");
  await using control = await mirroring(folder.path);
  await sync(control);
  const commit = await repo.commit({ [FILE]: "two" }, "change orders");
  expect(await sync(control)).toMatchObject({
    commit,
    sets: [
      { app: "orders", outcome: "released", version: 2, changed: ["a.txt"] },
      { app: "shop", outcome: "unchanged" },
    ],
  });
  expect(await live(control)).toMatchObject({
    version: 2,
    author: "source:config",
    reason: "change orders",
    approvedBy: ["source:config"],
    source: { name: "config", commit, author: "Ann <ann@example.com>", message: "change orders" },
    values: { "a.txt": "two" },
  });
  expect(await status(control)).toMatchObject({ sets: 2, seen: { commit }, released: { commit } });
});

test("uncommitted changes in the work tree do not count", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "committed" });
  await writeFiles(folder.path, { [FILE]: "not committed" });
  await using control = await mirroring(folder.path);
  await sync(control);
  expect((await live(control)).values).toEqual({ "a.txt": "committed" });
});

test("a bare repository with packs and packed refs, a linked work tree and another branch are read alike", async () => {
  await using folder = await tempFolder();
  const repo = await repository(join(folder.path, "work"));
  await repo.commit({ [FILE]: "main" });
  await repo.git("checkout", "--quiet", "-b", "release/1");
  await repo.commit({ [FILE]: "branch" });
  await repo.git("worktree", "add", "--quiet", join(folder.path, "linked"), "main");
  const bare = join(folder.path, "bare.git");
  await repo.git("clone", "--quiet", "--bare", repo.path, bare);
  await repo.git("-C", bare, "gc", "--quiet");
  for (const [path, branch, value] of [
    [bare, "main", "main"],
    [bare, "release/1", "branch"],
    [join(folder.path, "linked"), "release/1", "branch"],
  ] as const) {
    await using control = await mirroring(path, { branch });
    await sync(control);
    expect((await live(control)).values, `${path} ${branch}`).toEqual({ "a.txt": value });
  }
});

test("without a namespace the first folder is it, and a folder says where the sets begin", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ "deploy/config/prod/orders/eu/a.txt": "x", "src/a/b/c/d/e.ts": "no config" });
  await using control = await mirroring(folder.path, { folder: "deploy/config", namespace: undefined });
  await sync(control);
  expect((await live(control, { namespace: "prod", app: "orders", profile: "eu" })).values).toEqual({ "a.txt": "x" });
});

test("an invalid set is not released: file, line and column are reported, its last good one stays, others continue", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  const good = await repo.commit({ "a/default/k.yaml": "a: 1", [FILE]: "one" });
  await using control = await mirroring(folder.path);
  await sync(control);
  const bad = await repo.commit({ "a/default/k.yaml": "a: 1\nb: [", [FILE]: "two" });
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_INVALID" });
  expect(await status(control)).toMatchObject({
    seen: { commit: bad },
    released: { commit: good },
    error: { code: "CONFIG_SOURCE_INVALID", problems: [{ file: "a/default/k.yaml", line: 2, column: 5 }] },
  });
  expect((await live(control)).values, "what is right in it is released").toEqual({ "a.txt": "two" });
  expect((await live(control, { ...ORDERS, app: "a" })).values).toEqual({ "k.yaml": "a: 1" });
  expect((await control.host.metrics.expose()).text).toContain('posthouse_config_source_healthy{source="config"} 0');
  await repo.commit({ "a/default/k.yaml": "a: 2" });
  await sync(control);
  expect((await status(control)).error).toBeUndefined();
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
  expect((await control.host.metrics.expose()).text).toContain('posthouse_config_source_healthy{source="config"} 1');
});

test("links, submodules, pointers of LFS and large files are refused by name", async () => {
  await using folder = await tempFolder();
  const repo = await repository(join(folder.path, "repo"));
  const other = await repository(join(folder.path, "other"));
  await other.commit({ x: "x" });
  await mkdir(join(repo.path, "orders/default"), { recursive: true });
  await symlink("/etc/passwd", join(repo.path, "orders/default/link.txt"));
  await repo.git(
    "-c",
    "protocol.file.allow=always",
    "submodule",
    "--quiet",
    "add",
    other.path,
    "orders/default/vendored",
  );
  await repo.commit({
    "orders/default/lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "orders/default/large.txt": "x".repeat(TRANSFER_FILE_BYTES_MAX + 1),
    [FILE]: "fine",
  });
  await using control = await mirroring(repo.path);
  const { extra } = (await sync(control).catch((error: unknown) => error)) as { extra: { problems: object[] } };
  expect(extra.problems).toMatchObject([
    { file: "orders/default/large.txt", message: expect.stringContaining("more than") as string },
    { file: "orders/default/link.txt", message: expect.stringContaining("symbolic link") as string },
    { file: "orders/default/vendored", message: expect.stringContaining("submodule") as string },
    { file: "orders/default/lfs.bin", message: expect.stringContaining("LFS") as string },
  ]);
  expect((await control.client.config.sets(undefined)).sets).toEqual([]);
});

test("a history that was rewritten is mirrored and said, and a branch that is gone changes nothing", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  const first = await repo.commit({ [FILE]: "one" });
  await repo.commit({ [FILE]: "two" });
  await using control = await mirroring(folder.path);
  await sync(control);
  expect((await status(control)).rewritten).toBeUndefined();
  await repo.git("reset", "--quiet", "--hard", first);
  const forced = await repo.commit({ [FILE]: "forced" });
  await repo.git("reflog", "expire", "--expire=now", "--all");
  await repo.git("gc", "--quiet", "--prune=now");
  await sync(control);
  expect(await live(control)).toMatchObject({ version: 2, values: { "a.txt": "forced" } });
  expect(await status(control)).toMatchObject({ rewritten: true, released: { commit: forced } });
  await repo.commit({ [FILE]: "on" });
  await sync(control);
  expect((await status(control)).rewritten).toBeUndefined();
  await repo.git("branch", "--quiet", "--move", "main", "other");
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_UNREADABLE" });
  expect((await live(control)).values).toEqual({ "a.txt": "on" });
});

test("a repository without objects, an invalid path and a commit without sets are reported, and nothing is emptied", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await using control = await mirroring(folder.path, { prune: true });
  await sync(control);
  await repo.commit({ orders: undefined, "README.md": "empty" });
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_INVALID" });
  const head = await repo.commit({ [FILE]: "two" });
  const object = join(folder.path, ".git/objects", head.slice(0, 2), head.slice(2));
  await rename(object, `${object}.away`);
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_UNREADABLE" });
  expect((await live(control)).values).toEqual({ "a.txt": "one" });
  await rename(`${object}.away`, object);
  await sync(control);
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
  await using lost = await mirroring(join(folder.path, "nowhere"));
  await expect(sync(lost)).rejects.toMatchObject({ code: "CONFIG_SOURCE_UNREADABLE" });
});

test("a set that a source owns refuses other writers but in an emergency, until the source is detached", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await using control = await mirroring(folder.path);
  await sync(control);
  const items = { "a.txt": { format: "text" as const, value: "a person's" } };
  const owned = { code: "CONFIG_SET_OWNED", extra: { source: "config" } };
  await expect(control.client.config.publish(ORDERS, { items })).rejects.toMatchObject(owned);
  await expect(control.client.config.rollback(ORDERS, { toVersion: 1 })).rejects.toMatchObject(owned);
  await expect(control.client.config.publish(ORDERS, { items, emergency: true })).rejects.toMatchObject({
    code: "CONFIG_EMERGENCY_REASON",
  });
  await control.client.config.publish(ORDERS, { items, emergency: true, reason: "git is down" });
  expect(await live(control)).toMatchObject({ version: 2, emergency: true, values: { "a.txt": "a person's" } });
  await sync(control);
  expect(await live(control), "a sync by hand takes it back").toMatchObject({ version: 3, values: { "a.txt": "one" } });

  expect(await control.client.config.detachSource("config")).toMatchObject({ sets: 0, detached: { by: "operator" } });
  await control.client.config.publish(ORDERS, { items });
  await repo.commit({ [FILE]: "two" });
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_DETACHED" });
  expect((await live(control)).values).toEqual({ "a.txt": "a person's" });

  await control.client.config.attachSource("config");
  await sync(control);
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
  await expect(control.client.config.publish(ORDERS, { items })).rejects.toMatchObject(owned);
});

test("a set that is already as the source wants it follows it from then on, without a release", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await using control = await mirroring(folder.path);
  await releaseTexts(control, ORDERS, { "a.txt": "one" });
  await sync(control);
  expect(await live(control)).toMatchObject({ version: 1, author: "operator" });
  await expect(releaseTexts(control, ORDERS, { "a.txt": "x" })).rejects.toMatchObject({ code: "CONFIG_SET_OWNED" });
});

test("two sources that both want a set do not take it from each other", async () => {
  await using folder = await tempFolder();
  const one = await repository(join(folder.path, "one"));
  const two = await repository(join(folder.path, "two"));
  await one.commit({ [FILE]: "one" });
  await two.commit({ [FILE]: "one", "shop/default/b.txt": "b" });
  const host = testHost();
  await using store = await mirroredElsewhere(host, "one", "two");
  const configSources = [source(one.path, { name: "one" }), source(two.path, { name: "two" })];
  await using control = await withControl({ host, store, configSources });
  await sync(control, "one");
  await expect(sync(control, "two")).rejects.toMatchObject({
    code: "CONFIG_SOURCE_INVALID",
    extra: { problems: [{ file: "default/orders/default", message: expect.stringContaining('"one"') as string }] },
  });
  expect((await live(control)).source).toMatchObject({ name: "one" });
});

test("a set whose folder is gone stays live and can be released by others, or is released empty with prune", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one", "shop/default/b.txt": "b" });
  const commits = async (prune: boolean) => {
    const control = await mirroring(folder.path, { prune });
    await sync(control);
    return control;
  };
  await using keeps = await commits(false);
  await using prunes = await commits(true);
  await repo.commit({ orders: undefined });
  await sync(keeps);
  expect(await live(keeps)).toMatchObject({ version: 1, values: { "a.txt": "one" } });
  await releaseTexts(keeps, ORDERS, { "a.txt": "mine" });
  await sync(prunes);
  expect(await live(prunes)).toMatchObject({ version: 2, values: {}, source: { name: "config" } });
});

test("where a review is required a source releases, since its own review is one, and the release says so", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await using control = await mirroring(folder.path);
  await control.call("PUT", "/v1/config/default/rules", { review: "required" });
  await sync(control);
  expect(await live(control)).toMatchObject({ approvedBy: ["source:config"], source: { name: "config" } });
});

test("a commit is mirrored in the background, on an interval", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await using control = await withControl({ configSources: [source(folder.path, { intervalSeconds: 1 })] });
  await eventually("the first commit is live", async () => (await live(control)).version === 1);
  await repo.commit({ [FILE]: "two" });
  await eventually("the second is", async () => (await live(control)).values["a.txt"] === "two");
  const { revision } = await control.store.status();
  const before = await rounds(control);
  await eventually("it looked twice more", async () => (await rounds(control)) >= before + 2);
  const { entries } = await control.store.range({ prefix: "/config/" });
  expect(Math.max(...entries.map(({ modRevision }) => modRevision)), "and wrote nothing").toBeLessThanOrEqual(revision);
});

test("an emergency release stays through syncs and restarts, until the next commit", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  const host = testHost();
  await using store = openMemoryStore(host);
  const configSources = [source(folder.path, { intervalSeconds: 1 })];
  const items = { "a.txt": { format: "text" as const, value: "mended" } };
  {
    await using control = await withControl({ host, store, configSources });
    await eventually("the commit is live", async () => (await live(control)).version === 1);
    await control.client.config.publish(ORDERS, { items, emergency: true, reason: "git is down" });
    const before = await rounds(control);
    await eventually("it looked once more", async () => (await rounds(control)) > before);
  }
  await using again = await withControl({ host: testHost({ seed: 2 }), store, configSources });
  await eventually("it looked after the restart", async () => (await rounds(again)) > 0);
  expect((await live(again)).values).toEqual({ "a.txt": "mended" });
  await repo.commit({ [FILE]: "two" });
  await eventually("the next commit is live", async () => (await live(again)).values["a.txt"] === "two");
});

test("a pack that would fill the memory is refused by its size", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  await repo.git("gc", "--quiet");
  const packs = join(folder.path, ".git/objects/pack");
  const pack = (await readdir(packs)).find((name) => name.endsWith(".pack")) as string;
  await chmod(join(packs, pack), 0o600);
  await truncate(join(packs, pack), GIT_FILE_BYTES_MAX + 1);
  await using control = await mirroring(folder.path);
  await expect(sync(control)).rejects.toMatchObject({
    code: "CONFIG_SOURCE_UNREADABLE",
    message: expect.stringContaining("Repack") as string,
  });
});

test("of two members one mirrors, and when it goes the other does", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  const host = testHost();
  await using store = openMemoryStore(host);
  const configSources = [source(folder.path, { intervalSeconds: 1 })];
  await using first = await withControl({ host, store, configSources });
  await eventually("the first member released it", async () => (await live(first)).version === 1);
  await using second = await withControl({ host: testHost({ seed: 2 }), store, configSources });
  await repo.commit({ [FILE]: "two" });
  await eventually("the commit is live", async () => (await live(second)).values["a.txt"] === "two");
  const looked = async (control: TestControl) =>
    (await control.host.metrics.expose()).text.includes("rounds_total{source");
  expect([await looked(first), await looked(second)]).toEqual([true, false]);
  await first[Symbol.asyncDispose]();
  await repo.commit({ [FILE]: "three" });
  await eventually("the other took over", async () => (await live(second)).values["a.txt"] === "three");
});

test("two members that mirror at once make one release of a commit", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  const host = testHost();
  await using store = await mirroredElsewhere(host, "config");
  const configSources = [source(folder.path)];
  await using first = await withControl({ host, store, configSources });
  await using second = await withControl({ host: testHost({ seed: 2 }), store, configSources });
  for (let round = 1; round <= 5; round++) {
    await repo.commit({ [FILE]: `round ${round}`, "shop/default/b.txt": `round ${round}` });
    await Promise.all([sync(first), sync(second), sync(first)]);
    expect(await live(first)).toMatchObject({ version: round, values: { "a.txt": `round ${round}` } });
  }
});

test("thousands of files are mirrored, and config is answered meanwhile", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  const files = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, i) => [`app-${i % 300}/default/k${Math.floor(i / 300)}.yaml`, `a: ${i}\n`]),
  );
  await repo.commit({ ...files, [FILE]: "one" });
  await repo.git("gc", "--quiet");
  await using control = await mirroring(folder.path);
  await releaseTexts(control, { ...ORDERS, app: "other" }, { "a.txt": "x" });
  const done = new AbortController();
  const syncing = sync(control).finally(() => done.abort());
  let answers = 0;
  while (!done.signal.aborted) {
    await control.client.config.release({ ...ORDERS, app: "other" }, 1);
    answers++;
    // A call into this process takes no turn of the event loop by itself.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect((await syncing).sets).toHaveLength(301);
  expect(answers).toBeGreaterThan(10);
}, 300_000);

test("a folder is mirrored as it is, with links that stay inside, and links that lead out are refused", async () => {
  await using folder = await tempFolder();
  // As Kubernetes mounts a ConfigMap: the files are links through a link that is swapped.
  const set = join(folder.path, "orders/default");
  await writeFiles(set, { "..v1/a.txt": "one", "..v2/a.txt": "two" });
  await symlink("..v1", join(set, "..data"));
  await symlink("..data/a.txt", join(set, "a.txt"));
  await using control = await mirroring(folder.path, { type: "folder" });
  const first = await sync(control);
  expect(await live(control)).toMatchObject({
    version: 1,
    values: { "a.txt": "one" },
    source: { name: "config", commit: first.commit },
  });
  await symlink("..v2", join(set, "..next"));
  await rename(join(set, "..next"), join(set, "..data"));
  expect((await sync(control)).commit).not.toBe(first.commit);
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
  await symlink("/etc/passwd", join(set, "out.txt"));
  await promisify(execFile)("mkfifo", [join(set, "pipe")]);
  await expect(sync(control)).rejects.toMatchObject({
    code: "CONFIG_SOURCE_INVALID",
    extra: {
      problems: [
        { file: "orders/default/out.txt", message: expect.stringContaining("out of the folder") as string },
        { file: "orders/default/pipe", message: expect.stringContaining("neither a file nor a folder") as string },
      ],
    },
  });
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
});

test("a folder that is being written is not read half, and is when it rests", async () => {
  await using folder = await tempFolder();
  await writeFiles(folder.path, { [FILE]: "line\n" });
  await using control = await mirroring(folder.path, { type: "folder" });
  const rest = new AbortController();
  const writer = (async () => {
    while (!rest.signal.aborted) {
      await appendFile(join(folder.path, FILE), "line\n");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_UNSTABLE" });
  expect((await control.client.config.sets(undefined)).sets).toEqual([]);
  rest.abort();
  await writer;
  await sync(control);
  expect((await live(control)).version).toBe(1);
  await writeFile(join(folder.path, "orders/default/bad.yaml"), "a: [");
  await expect(sync(control)).rejects.toMatchObject({ code: "CONFIG_SOURCE_INVALID" });
});

test("a source that was taken out of the settings owns its sets until it is detached", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ [FILE]: "one" });
  const host = testHost();
  await using store = await mirroredElsewhere(host, "config");
  {
    await using control = await withControl({ host, store, configSources: [source(folder.path)] });
    await sync(control);
  }
  await using without = await withControl({ host: testHost({ seed: 2 }), store });
  await expect(releaseTexts(without, ORDERS, { "a.txt": "x" })).rejects.toMatchObject({ code: "CONFIG_SET_OWNED" });
  expect(await status(without)).toMatchObject({ name: "config", configuredHere: false, sets: 1 });
  await expect(sync(without)).rejects.toMatchObject({ code: "CONFIG_SOURCE_NOT_FOUND" });
  await without.client.config.detachSource("config");
  expect(await releaseTexts(without, ORDERS, { "a.txt": "x" })).toMatchObject({ version: 2 });
});

test("readers see sources, and only operators act on them", async () => {
  await using folder = await tempFolder();
  await using control = await mirroring(folder.path);
  const asked = async (role: string, method: string, path: string) => {
    const { json } = await control.call("POST", "/v1/tokens", { name: `${role}-${path.length}`, policies: [role] });
    const headers = { authorization: `Bearer ${String(json["token"])}` };
    return (await control.call(method, `/v1/config-sources${path}`, undefined, headers)).status;
  };
  expect(await asked("viewer", "GET", "")).toBe(200);
  expect(await asked("editor", "POST", "/config/sync")).toBe(403);
  expect(await asked("editor", "POST", "/config/detach")).toBe(403);
  expect(await asked("agent", "POST", "/config/attach")).toBe(403);
});

test("a source that is not configured is not found", async () => {
  await using control = await withControl();
  for (const act of [sync(control, "nope"), control.client.config.detachSource("nope")]) {
    await expect(act).rejects.toMatchObject({ code: "CONFIG_SOURCE_NOT_FOUND" });
  }
});

test("files outside the folders of sets are skipped: links, submodules, large and broken files", async () => {
  await using folder = await tempFolder();
  const repo = await repository(join(folder.path, "repo"));
  const other = await repository(join(folder.path, "other"));
  await other.commit({ x: "x" });
  await mkdir(join(repo.path, "orders"), { recursive: true });
  await symlink("orders", join(repo.path, "LATEST"));
  await symlink("/nowhere", join(repo.path, "orders/latest"));
  await repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.path, "vendored");
  await repo.commit({ "large.bin": "x".repeat(TRANSFER_FILE_BYTES_MAX + 1), "README.yaml": "a: [", [FILE]: "fine" });
  await using control = await mirroring(repo.path);
  expect((await sync(control)).sets).toMatchObject([{ app: "orders", outcome: "released" }]);
  expect((await status(control)).error).toBeUndefined();

  await using plain = await mirroring(join(folder.path, "repo"), { type: "folder" });
  expect((await sync(plain)).sets).toMatchObject([{ app: "orders", outcome: "released" }]);
});

test("a set that is not valid keeps its last good release and its owner, also when sets that are gone are emptied", async () => {
  await using folder = await tempFolder();
  const repo = await repository(folder.path);
  await repo.commit({ "a/default/k.properties": "a=1", "gone/default/k.txt": "x", [FILE]: "one" });
  await using control = await mirroring(folder.path, { prune: true });
  await sync(control);
  await repo.git("rm", "-q", "-r", "gone");
  await repo.commit({ "a/default/k.properties": "a=\\u00", [FILE]: "two" });
  await expect(sync(control)).rejects.toMatchObject({
    message: expect.stringContaining("other sets are live") as string,
    extra: { problems: [{ file: "a/default/k.properties", line: 1 }] },
  });
  expect((await live(control)).values).toEqual({ "a.txt": "two" });
  expect((await live(control, { ...ORDERS, app: "a" })).values).toEqual({ "k.properties": "a=1" });
  expect((await live(control, { ...ORDERS, app: "gone" })).values).toEqual({});
  expect((await status(control)).sets).toBe(2);
});

test("a repository with object names of SHA-256 is refused as what it is", async () => {
  await using folder = await tempFolder();
  await promisify(execFile)("git", ["init", "-q", "-b", "main", "--object-format=sha256", folder.path]);
  await using control = await mirroring(folder.path);
  await expect(sync(control)).rejects.toMatchObject({
    code: "CONFIG_SOURCE_UNREADABLE",
    message: expect.stringContaining("SHA256, which is not supported") as string,
  });
});
