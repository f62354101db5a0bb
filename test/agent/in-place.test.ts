/** Files that are written in place: a real bind mount, a full disk, a kill in the middle. */
import { execFile } from "node:child_process";
import { chmod, link, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { eventually, startProgram, tempFolder, testHost } from "#test/kit";
import { FileSink } from "../../agent/file-sink.ts";
import { settingsIn, startAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const run = promisify(execFile);
const WEB = { namespace: "default", app: "web", profile: "default" };
const IN_PLACE = { followLinks: true, inPlace: true };

/** A program for `node -e` that writes $1 with the content $2 and the options $3, and prints the error or `ok`. */
const WRITER = `
  import { FileSink } from ${JSON.stringify(join(import.meta.dirname, "../../agent/file-sink.ts"))};
  import { testHost } from ${JSON.stringify(join(import.meta.dirname, "../kit/host.ts"))};
  const [path, content, options] = process.argv.slice(1);
  const write = new FileSink(testHost()).write(path, content, { followLinks: true, ...JSON.parse(options) });
  console.log(await write.then(() => "ok", (error) => error.code + " " + error.message));`;
const NODE = [process.execPath, "--input-type=module", "-e", WRITER] as const;

test("the file keeps its inode, mode and other names, whether it grows or shrinks", async () => {
  await using folder = await tempFolder();
  const [path, other] = [join(folder.path, "app.yaml"), join(folder.path, "other")];
  await writeFile(path, "a first content");
  await chmod(path, 0o604);
  await link(path, other);
  const before = await stat(path);
  const sink = new FileSink(testHost());
  for (const content of ["a content that is longer", "short", "", "a".repeat(3_000_000)]) {
    await sink.write(path, content, { ...IN_PLACE, mode: 0o600 });
    expect((await readFile(other, "utf8")) === content).toBe(true);
    const after = await stat(path);
    expect([after.ino, after.mode]).toEqual([before.ino, before.mode]);
  }
  await sink.write(path, Buffer.from([0, 255, 1]).toString("base64"), { ...IN_PLACE, encoding: "base64" });
  expect(await readFile(path)).toEqual(Buffer.from([0, 255, 1]));
  expect((await readdir(folder.path)).sort()).toEqual(["app.yaml", "other"]);
});

test("a file that is not there is made; a folder is refused", async () => {
  await using folder = await tempFolder();
  const sink = new FileSink(testHost());
  await sink.write(join(folder.path, "new"), "one", { ...IN_PLACE, mode: 0o604 });
  expect((await stat(join(folder.path, "new"))).mode & 0o777).toBe(0o604);
  await mkdir(join(folder.path, "folder"));
  await expect(sink.write(join(folder.path, "folder"), "x", IN_PLACE)).rejects.toThrow(/not a file/);
});

test("a check sees the new content in a temporary file, and the old content remains when the check refuses", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  await writeFile(path, "old");
  const { ino } = await stat(path);
  const sink = new FileSink(testHost());
  const seen: string[] = [];
  const check = async (temp: string) => {
    seen.push(await readFile(temp, "utf8"));
    if (seen.length === 1) throw new Error("refused");
  };
  await expect(sink.write(path, "bad", { ...IN_PLACE, check })).rejects.toThrow(/refused/);
  expect(await readFile(path, "utf8")).toBe("old");
  await sink.write(path, "good", { ...IN_PLACE, check });
  expect([await readFile(path, "utf8"), (await stat(path)).ino, seen]).toEqual(["good", ino, ["bad", "good"]]);
  expect(await readdir(folder.path)).toEqual(["app.yaml"]);
});

test("a file that is mounted by itself is refused with the way out, and written in place", async () => {
  await using folder = await tempFolder();
  const [source, target] = [join(folder.path, "source"), join(folder.path, "target")];
  await writeFile(source, "old");
  await writeFile(target, "hidden");
  // A mount of its own, which ends with the command. Without root, where the system lets users have namespaces of their own.
  const space = process.getuid?.() === 0 ? ["-m"] : ["-r", "-m"];
  const mounted = async (options: object) => {
    const script = `mount --bind "$1" "$2" && shift && exec "$0" --input-type=module -e "$3" "$1" new "$2"`;
    const args = [NODE[0], source, target, JSON.stringify(options), WRITER];
    return (await run("unshare", [...space, "bash", "-c", script, ...args])).stdout.trim();
  };
  expect(await mounted({})).toMatch(/^AGENT_FILE_NOT_WRITTEN .*EBUSY.*mount its folder.*"write: in-place"/);
  expect(await readFile(source, "utf8")).toBe("old");
  const { ino } = await stat(source);
  expect(await mounted({ inPlace: true })).toBe("ok");
  expect([await readFile(source, "utf8"), (await stat(source)).ino]).toEqual(["new", ino]);
  expect(await readFile(target, "utf8")).toBe("hidden");
  expect((await readdir(folder.path)).sort()).toEqual(["source", "target"]);
});

test("a full disk leaves the old content", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "app.yaml");
  await writeFile(path, "old");
  const script = `ulimit -f 16; exec "$0" "$@"`;
  const args = ["-c", script, ...NODE, path, "x".repeat(100_000), JSON.stringify({ inPlace: true })];
  const { stdout } = await run("bash", args);
  expect(stdout).toMatch(/^AGENT_FILE_NOT_WRITTEN .*app\.yaml was not written: .*Its old content remains\./);
  expect(await readFile(path, "utf8")).toBe("old");
});

test.each([
  ["grows", "old ".repeat(500), "new ".repeat(20_000)],
  ["shrinks", "old ".repeat(20_000), "new ".repeat(500)],
])(
  "killed in the middle of a write that %s it, the file is whole after the next start, and reloaded",
  async (_name, before, after) => {
    await using folder = await tempFolder();
    const path = join(folder.path, "app.yaml");
    await writeFile(path, before);
    const { ino } = await stat(path);
    await using writer = startProgram("test/agent/torn-writer.ts", [path, after]);
    expect(await writer.exited).toEqual({ code: null, signal: "SIGKILL" });
    const torn = await readFile(path, "utf8");
    expect([torn === before, torn === after, torn.includes("old "), torn.includes("new ")]).toEqual([
      false,
      false,
      true,
      true,
    ]);
    const plane = new FakeControlPlane();
    plane.release(WEB, { app: after });
    const { servicesDir = "" } = await settingsIn(folder.path);
    const command = ["/bin/sh", "-c", `wc -c < ${path} >> ${folder.path}/reloads`];
    const file = {
      app: "web",
      key: "app",
      path,
      write: "in-place",
      reload: { type: "command", command, quietSeconds: 0 },
    };
    await writeFile(join(servicesDir, "files.json"), JSON.stringify({ file }));
    await using _agent = await startAgent(plane, folder.path, { execAllow: ["/bin/sh"] });
    await eventually("it is whole", async () => (await readFile(path, "utf8")) === after);
    expect((await stat(path)).ino).toBe(ino);
    await eventually("it is reloaded", async () => {
      const reloads = await readFile(join(folder.path, "reloads"), "utf8").catch(() => "");
      return reloads.trim() === String(after.length);
    });
  },
);
