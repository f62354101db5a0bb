/** Files written whole or not at all, on a real file system. */
import { chmod, chown, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { FileSink } from "../../agent/file-sink.ts";
import { projectRoot, tempFolder, testHost } from "#test/kit";

const run = promisify(execFile);
const PLAIN = { followLinks: true };

test("a new file has the requested mode, or else only owner and group can read it", async () => {
  await using folder = await tempFolder();
  const sink = new FileSink(testHost());
  await sink.write(join(folder.path, "a"), "one", { mode: 0o604, followLinks: true });
  await sink.write(join(folder.path, "b"), "two", PLAIN);
  expect((await stat(join(folder.path, "a"))).mode & 0o777).toBe(0o604);
  expect((await stat(join(folder.path, "b"))).mode & 0o777).toBe(0o640);
});

test("an existing file keeps its mode", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  await writeFile(path, "old");
  await chmod(path, 0o600);
  await new FileSink(testHost()).write(path, "new", { mode: 0o644, followLinks: true });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).toBe("new");
});

test("a reader never sees a part: the name always points at one whole content", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  const sink = new FileSink(testHost());
  const contents = ["a", "b"].map((letter) => letter.repeat(200_000));
  await sink.write(path, contents[0] as string, PLAIN);
  const writes = Array.from({ length: 40 }, (_, i) => sink.write(path, contents[i % 2] as string, PLAIN));
  for (let i = 0; i < 200; i++) expect(contents).toContain(await readFile(path, "utf8"));
  await Promise.all(writes);
});

test("of writes asked for at once the last one stays, and no temporary file", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  const sink = new FileSink(testHost());
  await Promise.all(Array.from({ length: 20 }, (_, i) => sink.write(path, `version ${i}`, PLAIN)));
  expect(await readFile(path, "utf8")).toBe("version 19");
  expect(await readdir(folder.path)).toEqual(["app.yaml"]);
});

test("a missing folder is an error that names the path and the way out", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "nowhere", "app.yaml");
  await expect(new FileSink(testHost()).write(path, "x", PLAIN)).rejects.toMatchObject({
    code: "AGENT_FILE_NOT_WRITTEN",
    message: expect.stringContaining(`${path} was not written: its folder does not exist (ENOENT); create it.`),
  });
});

test("a full disk leaves the old content and no temporary file, and the write fails with an error", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  await writeFile(path, "old");
  // A process that may write at most 16 KiB to a file simulates a disk that fills up in the middle of a write.
  const script = `
    import { FileSink } from ${JSON.stringify(join(import.meta.dirname, "../../agent/file-sink.ts"))};
    import { testHost } from ${JSON.stringify(join(import.meta.dirname, "../kit/mod.ts"))};
    const error = await new FileSink(testHost()).write(process.argv[1], "x".repeat(100_000), { followLinks: true })
      .catch((error) => error);
    console.log(error.code + " " + error.message);`;
  const command = `ulimit -f 16; exec "$0" --input-type=module -e "$1" "$2"`;
  const { stdout } = await run("bash", ["-c", command, process.execPath, script, path]);
  expect(stdout).toMatch(/^AGENT_FILE_NOT_WRITTEN .*app\.yaml was not written: .*Its old content remains\./);
  expect(await readFile(path, "utf8")).toBe("old");
  expect(await readdir(folder.path)).toEqual(["app.yaml"]);
});

test("a folder in the place of the file is not replaced", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app");
  await mkdir(path);
  await expect(new FileSink(testHost()).write(path, "x", PLAIN)).rejects.toThrow(/not a file/);
  expect(await readdir(folder.path)).toEqual(["app"]);
});

test("a killed agent's temporary files are removed, other files are not", async () => {
  await using folder = await tempFolder();
  for (const name of [".app.yaml.0011223344556677.posthouse-tmp", ".other.posthouse-tmp", "app.yaml.bak"]) {
    await writeFile(join(folder.path, name), "part");
  }
  await new FileSink(testHost()).write(join(folder.path, "app.yaml"), "whole", PLAIN);
  expect((await readdir(folder.path)).sort()).toEqual([".other.posthouse-tmp", "app.yaml", "app.yaml.bak"]);
});

test("a symbolic link is written through when its owner made it, and replaced in the agent's own folder", async () => {
  await using folder = await tempFolder();
  const [target, link] = [join(folder.path, "target"), join(folder.path, "link")];
  await writeFile(target, "old");
  await symlink(target, link);
  const sink = new FileSink(testHost());
  await sink.write(link, "through", { followLinks: true });
  expect(await readFile(target, "utf8")).toBe("through");
  await sink.write(link, "replaced", { followLinks: false });
  expect(await readFile(target, "utf8")).toBe("through");
  expect(await readFile(link, "utf8")).toBe("replaced");
});

test("writes are counted by how they ended", async () => {
  await using folder = await tempFolder();
  const host = testHost();
  const sink = new FileSink(host);
  await sink.write(join(folder.path, "a"), "x", PLAIN);
  await sink.write(join(folder.path, "no", "a"), "x", PLAIN).catch(() => {});
  const { text } = await host.metrics.expose();
  expect(text).toContain('posthouse_agent_file_writes_total{result="ok"} 1');
  expect(text).toContain('posthouse_agent_file_writes_total{result="failed"} 1');
});

test("a symbolic link to a file that is not there yet is written through, also over several links", async () => {
  await using folder = await tempFolder();
  const [first, second, file] = ["first", "second", "real/app.yaml"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(join(folder.path, "real"));
  await symlink("second", first);
  await symlink("real/app.yaml", second);
  await new FileSink(testHost()).write(first, "new", PLAIN);
  expect((await lstat(first)).isSymbolicLink()).toBe(true);
  expect((await lstat(second)).isSymbolicLink()).toBe(true);
  expect(await readFile(file, "utf8")).toBe("new");

  const [a, b] = [join(folder.path, "a"), join(folder.path, "b")];
  await symlink("b", a);
  await symlink("a", b);
  await expect(new FileSink(testHost()).write(a, "new", PLAIN)).rejects.toThrow(/symbolic links form a loop/);
});

/** Writes as a user that is not root, in a group beside its own. Groups and ids that no account here has. */
const AGENT = { uid: 64_001, gid: 64_001, group: 64_002, stranger: 64_003 };
const AS_AGENT = `
  import { FileSink } from "./agent/file-sink.ts";
  import { libraryHost } from "./kernel/base/library.ts";
  process.setgroups([${AGENT.group}]);
  process.setgid(${AGENT.gid});
  process.setuid(${AGENT.uid});
  const sink = new FileSink(libraryHost());
  for (const path of process.argv.slice(1)) {
    const said = await sink.write(path, "new", { followLinks: true }).then(() => "written", (error) => error.code + " " + error.message);
    console.log(said);
  }
`;

test("an agent that is not root keeps a file's group, and replaces no file whose owner or group it cannot keep", async () => {
  // Only root can switch users; without root, the test checks that own files keep their owner.
  const isRoot = process.getuid?.() === 0;
  await using folder = await tempFolder();
  if (!isRoot) {
    await writeFile(join(folder.path, "own"), "old");
    await new FileSink(testHost()).write(join(folder.path, "own"), "new", PLAIN);
    expect((await stat(join(folder.path, "own"))).uid).toBe(process.getuid?.());
    return;
  }
  await chmod(folder.path, 0o777);
  const owners: [name: string, uid: number, gid: number][] = [
    ["of root, group kept", 0, AGENT.group],
    ["of the agent, group kept", AGENT.uid, AGENT.group],
    ["of another user", AGENT.stranger, AGENT.group],
    ["of a group that it is not in", AGENT.uid, AGENT.stranger],
  ];
  for (const [name, uid, gid] of owners) {
    await writeFile(join(folder.path, name), "old");
    await chmod(join(folder.path, name), 0o640);
    await chown(join(folder.path, name), uid, gid);
  }
  const paths = owners.map(([name]) => join(folder.path, name));
  const { stdout } = await run(process.execPath, ["--input-type=module-typescript", "-e", AS_AGENT, ...paths], {
    cwd: projectRoot,
  });
  const said = stdout.trim().split("\n");
  expect(said.slice(0, 2)).toEqual(["written", "written"]);
  expect(said[2]).toMatch(/^AGENT_FILE_NOT_WRITTEN .*owner \(uid 64003\) cannot be kept by an agent with uid 64001/);
  expect(said[3]).toMatch(/^AGENT_FILE_NOT_WRITTEN .*group \(gid 64003\) cannot be kept/);
  const now = await Promise.all(
    paths.map(async (path) => {
      const { uid, gid, mode } = await stat(path);
      return [await readFile(path, "utf8"), uid, gid, mode & 0o777];
    }),
  );
  expect(now).toEqual([
    ["new", AGENT.uid, AGENT.group, 0o640],
    ["new", AGENT.uid, AGENT.group, 0o640],
    ["old", AGENT.stranger, AGENT.group, 0o640],
    ["old", AGENT.uid, AGENT.stranger, 0o640],
  ]);
  expect((await readdir(folder.path)).toSorted()).toEqual(owners.map(([name]) => name).toSorted());
});
