/** The program on a terminal and off it, the manual page, and completion in a real bash, as processes. */
import { spawn, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cleanEnvironment, posthouseOnPath, tempFolder, type TempFolder } from "#test/kit";
import { DOCTOR_CHECKS } from "../../cli/checks/checks.ts";
import { topPicture } from "../../cli/top-view.ts";
import { widthOf } from "../../cli/table.ts";
import { type ListeningControl, run, withListeningControl } from "./kit.ts";

let control: ListeningControl;
let folder: TempFolder;
let environment: Record<string, string>;
beforeAll(async () => {
  control = await withListeningControl();
  folder = await tempFolder();
  environment = {
    ...cleanEnvironment(),
    PATH: await posthouseOnPath(folder.path),
    HOME: folder.path,
    TERM: "xterm",
    POSTHOUSE_CONTROL_URLS: control.url,
    POSTHOUSE_TOKEN: control.token,
  };
  await control.posthouse("services register orders orders-1 127.0.0.1:4001");
  await control.posthouse("config set shop/main app.yaml", { input: "a: 1\n" });
});
afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** The server is in this process, so a command must not block it. */
async function shell(
  command: string,
  more: Record<string, string> = {},
): Promise<{ code: number | null; output: string }> {
  const child = spawn("bash", ["-c", command], { env: { ...environment, ...more }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, output };
}
const onTerminal = (command: string, more?: Record<string, string>) =>
  shell(`script -qec '${command}' /dev/null`, more);

test(
  "on a terminal a list is a table with colors, without them by NO_COLOR, and tab-separated in a pipe",
  { timeout: 60_000 },
  async () => {
    const colored = await onTerminal("posthouse services ls");
    expect(colored.output).toContain("\u001B[1mSERVICE\u001B[0m");
    const plain = await onTerminal("posthouse services ls", { NO_COLOR: "1" });
    expect(plain.output).not.toContain("\u001B");
    expect(plain.output).toMatch(/^orders +1 +1 /m);
    const piped = await shell("posthouse services ls | cat");
    expect(piped.output).toBe(
      "SERVICE\tINSTANCES\tPASSING\tWARNING\tCRITICAL\tUNKNOWN\tDRAINING\norders\t1\t1\t0\t0\t0\t0\n",
    );
  },
);

test("the rules of a policy are wrapped at the width of the terminal", { timeout: 60_000 }, async () => {
  const linesAt = async (columns: number) => {
    const { output } = await onTerminal(`stty cols ${columns}; posthouse policy show agent`, { NO_COLOR: "1" });
    const lines = output.split(/\r?\n/);
    return lines.slice(lines.findIndex((line) => /^1 +allow/.test(line)));
  };
  const [narrow, wide] = [await linesAt(60), await linesAt(300)];
  expect(Math.max(...narrow.map((line) => line.length))).toBeLessThanOrEqual(60);
  expect(narrow.length).toBeGreaterThan(wide.length);
});

test("errors are on standard error, and the exit code reaches the shell", { timeout: 60_000 }, async () => {
  const { output } = await shell("posthouse services show nothing 2>/dev/null; echo $?");
  expect(output).toBe("3\n");
});

test("bash completes verbs, aliases, options and live names", { timeout: 180_000 }, async () => {
  const complete = async (line: string) => {
    const words = line.split(" ");
    const list = words.map((word) => `'${word}'`).join(" ");
    const code = `source <(posthouse completion bash); COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _posthouse; echo "\${COMPREPLY[@]}"`;
    return (await shell(code)).output.trim().split(" ");
  };
  expect(await complete("posthouse services show o")).toEqual(["orders"]);
  expect(await complete("posthouse service drain orders o")).toEqual(["orders-1"]);
  expect(await complete("posthouse config get --namespace default default/s")).toEqual(["default/shop/main"]);
  expect(await complete("posthouse config get default/shop/main a")).toEqual(["app.yaml"]);
  expect(await complete("posthouse tokens rev")).toEqual(["revoke"]);
});

test("live names are silent and quick when the server does not answer", async () => {
  const begun = performance.now();
  const done = await run(["__complete", "services"], {
    environment: { POSTHOUSE_CONTROL_URLS: "http://127.0.0.1:1", POSTHOUSE_TOKEN: "x" },
  });
  expect(done).toEqual({ code: 0, out: "", err: "" });
  expect(performance.now() - begun).toBeLessThan(10_000);
  expect(await run(["__complete", "nothing"])).toEqual({ code: 0, out: "", err: "" });
});

test("the manual page has no warnings", async () => {
  const page = join(folder.path, "posthouse.1");
  await writeFile(page, (await run(["man"])).out);
  const checked = spawnSync("groff", ["-ww", "-man", "-Tutf8", page], { encoding: "utf8" });
  // Where groff is not installed, the shape of the page is still checked.
  if (checked.error === undefined) expect([checked.status, checked.stderr]).toEqual([0, ""]);
  expect((await run(["man"])).out).toMatch(/^\.TH POSTHOUSE 1 [\s\S]*\n\.SH "?EXIT STATUS"?\n/);
});

test("doctor finds what is wrong, with the next command, and exits with 1", { timeout: 60_000 }, async () => {
  const well = JSON.parse((await control.posthouse(`doctor -o json --data ${folder.path}/none`)).out) as {
    check: string;
    level: string;
  }[];
  expect(well.map(({ check }) => check)).toEqual(DOCTOR_CHECKS.map(({ name }) => name));
  for (const check of ["node", "server", "token", "clock", "version"]) {
    expect(
      well.find((row) => row.check === check),
      check,
    ).toMatchObject({ level: "ok" });
  }
  const away = await control.posthouse(`doctor -o json --control-urls http://127.0.0.1:1 --data ${folder.path}`);
  expect(away.code).toBe(1);
  const rows = JSON.parse(away.out) as { check: string; level: string; next?: string }[];
  expect(rows.find(({ check }) => check === "server")).toMatchObject({
    level: "fail",
    next: expect.stringContaining("posthouse") as string,
  });
  const wrong = await control.posthouse("doctor -o json --token ph_wrong");
  expect(JSON.parse(wrong.out)).toContainEqual(expect.objectContaining({ check: "token", level: "fail" }));
});

test("the picture of top fits its window, shows the worst first, and follows the filter", () => {
  const service = (name: string, critical: number) => ({
    service: name,
    instances: 2,
    passing: 2 - critical,
    warning: 0,
    critical,
    draining: 0,
  });
  const services = [
    service("a", 0),
    service("订单", 1),
    ...Array.from({ length: 40 }, (_, at) => service(`s${at}`, 0)),
  ];
  const routes = [{ route: "orders", rps: 12, errors: 1, p50: 2, p99: null, inFlight: 0, series: [0, 1, 2] }];
  const data = { at: "now", server: "here", members: 1, services, routes };
  const state = { filter: "", isTyping: false, selected: 0, columns: 100, lines: 20 };
  const lines = topPicture(data, state, (_style, text) => text);
  expect(lines).toHaveLength(20);
  expect(lines[4]).toContain("订单");
  expect(lines.join("\n")).toContain("▁▄█");
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(100);
  const last = topPicture(data, { ...state, selected: 41 }, (_style, text) => text);
  expect(last.some((line) => line.startsWith("▶s9"))).toBe(true);
  const filtered = topPicture(data, { ...state, filter: "ord" }, (_style, text) => text).join("\n");
  expect(filtered).toContain("orders");
  expect(filtered).not.toContain("订单");
});
