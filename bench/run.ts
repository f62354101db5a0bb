/**
 * `npm run bench [-- NAME …]`: runs the named benchmarks, or all except the soak, and writes the results to bench/results. Run it on a quiet
 * machine. Every figure has its smallest and largest value, so that noise is visible. Ends with 1 when one of them has failed.
 */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { VERSION } from "#server";
import { parseArgs } from "node:util";
import { bundleProgram } from "../scripts/bundle.ts";
import { machine } from "./kit.ts";

const { values: options, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: "string", default: "60" } },
});

const BENCHES: Record<string, () => Promise<object>> = {
  start: async () => (await import("./start.ts")).benchStart(),
  store: async () => (await import("./store.ts")).benchStore(),
  propagation: async () => (await import("./propagation.ts")).benchPropagation(),
  "route-change": async () => (await import("./route-change.ts")).benchRouteChange(),
  registry: async () => (await import("./registry.ts")).benchRegistry(),
  authorization: async () => (await import("./authorization.ts")).benchAuthorization(),
  "watch-tls": async () => (await import("./watch-tls.ts")).benchWatchTls(),
  config: async () => (await import("./config.ts")).benchConfig(),
  dns: async () => (await import("./dns.ts")).benchDns(),
  "route-match": async () => (await import("./route-match.ts")).benchRouteMatch(),
  client: async () => (await import("./client.ts")).benchClient(),
  authority: async () => (await import("./authority.ts")).benchAuthority(),
  proxy: async () => (await import("./proxy.ts")).benchProxy(),
  sidecar: async () => (await import("./sidecar.ts")).benchSidecar(),
  soak: async () => (await import("./soak.ts")).benchSoak(Number(options.minutes)),
};
/** Runs only when it is named, because it takes an hour. */
const NAMED_ONLY = new Set(["soak"]);

const unknown = asked.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`Unknown benchmark: ${unknown.join(", ")}. Use ${Object.keys(BENCHES).join(", ")}.`);
  process.exit(2);
}
// The program as a user starts it; a changed source would make it run unbundled.
await bundleProgram();
const folder = join(import.meta.dirname, "results");
await mkdir(folder, { recursive: true });
const file = join(folder, `${VERSION}.json`);
let known: Record<string, object> = {};
try {
  known = JSON.parse(await readFile(file, "utf8")) as Record<string, object>;
} catch {
  // The first results of this version.
}
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: import.meta.dirname,
  encoding: "utf8",
}).trim();
let failed = false;
for (const name of asked.length > 0 ? asked : Object.keys(BENCHES).filter((one) => !NAMED_ONLY.has(one))) {
  const result = await BENCHES[name]?.();
  console.log(`${name}: ${JSON.stringify(result, null, 2)}`);
  if (result && "failed" in result) failed = true;
  known[name] = { commit, machine: machine(), ...result };
}
await writeFile(file, `${JSON.stringify(known, null, 2)}\n`);
process.exit(failed ? 1 : 0);
