/**
 * `npm test`: checks that the machine has the programs that the tests need, runs all tests, and ends with one line of counts. Missing
 * programs are installed if possible; otherwise the run fails and names the packages to install.
 */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { bundleProgram } from "./bundle.ts";
import { leftProcesses, TEST_RUN_FOLDER_VARIABLE, TEST_RUN_VARIABLE } from "./left-processes.ts";

/** Programs that tests start, and their Debian packages. The last four check the files of deploy/. */
const NEEDED = [
  { program: "etcd", debianPackage: "etcd-server" },
  { program: "dig", debianPackage: "bind9-dnsutils" },
  { program: "chromium", debianPackage: "chromium" },
  { program: "docker-compose", debianPackage: "docker-compose" },
  { program: "dpkg-deb", debianPackage: "dpkg" },
  { program: "logrotate", debianPackage: "logrotate" },
  { program: "prometheus", debianPackage: "prometheus" },
  { program: "promtool", debianPackage: "prometheus" },
  { program: "systemd-analyze", debianPackage: "systemd" },
  { program: "testssl", debianPackage: "testssl.sh" },
];

function has(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

function provide(): void {
  const missing = NEEDED.filter(({ program }) => !has(program)).map(({ debianPackage }) => debianPackage);
  if (missing.length === 0) return;
  const mayInstall = process.getuid?.() === 0 && has("apt-get");
  if (mayInstall) {
    console.log(`installing for the tests: ${missing.join(", ")}`);
    // Some packages start a service, which would occupy a port that tests need. Policy 101 prevents it for this call.
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
    spawnSync("apt-get", ["update", "-qq"], { stdio: "inherit", env: environment });
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
      stdio: ["ignore", "ignore", "inherit"],
      env: environment,
    });
  }
  const still = NEEDED.filter(({ program }) => !has(program));
  if (still.length === 0) return;
  const names = still.map(({ debianPackage }) => debianPackage).join(" ");
  console.error(
    `The tests start ${still.map(({ program }) => program).join(", ")} as programs. Install them with: apt-get install ${names}`,
  );
  process.exit(1);
}

/** Milliseconds for processes to end after the tests. */
const LEFT_MS_MAX = 5_000;

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
}

provide();
// The processes that tests start run this bundle, so that its sources are compiled only once.
await bundleProgram();
const folder = mkdtempSync(join(tmpdir(), "posthouse-report-"));
const output = join(folder, "report.json");
const packages = join(import.meta.dirname, "..", "node_modules");
const vitest = join(packages, "vitest", "vitest.mjs");
const mark = randomUUID();
const run = spawnSync(
  process.execPath,
  [vitest, "run", "--reporter=default", "--reporter=json", `--outputFile.json=${output}`, ...process.argv.slice(2)],
  // Each test file runs in its own process. A shared cache compiles common files only once.
  {
    stdio: "inherit",
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(packages, ".cache", "posthouse"),
      [TEST_RUN_VARIABLE]: mark,
      [TEST_RUN_FOLDER_VARIABLE]: folder,
    },
  },
);
let report: Report | undefined;
try {
  report = JSON.parse(readFileSync(output, "utf8")) as Report;
} catch {
  console.error("The tests ended without a report.");
}
rmSync(folder, { recursive: true, force: true });
const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0);
if (skipped > 0) console.error(`${skipped} tests were skipped. A skipped test proves nothing, so the run has failed.`);
// A process that was killed a moment ago may take that long to disappear.
const deadline = Date.now() + LEFT_MS_MAX;
let left = leftProcesses(mark);
while (left.length > 0 && Date.now() < deadline) {
  await setTimeout(100);
  left = leftProcesses(mark);
}
for (const { pid, command } of left) {
  console.error(`The tests left process ${pid} running, so the run has failed: ${command}`);
  process.kill(pid, "SIGKILL");
}
const failed = (report?.numFailedTests ?? 0) + skipped + left.length + (report && report.numPassedTests > 0 ? 0 : 1);
const good = run.status === 0 && failed === 0;
console.log(`\n${report?.numPassedTests ?? 0} passed, ${good ? 0 : Math.max(1, failed)} failed`);
process.exit(good ? 0 : 1);
