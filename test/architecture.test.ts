/** Who may import whom; cores are pure; no cycles; no file that nobody reaches. The table is house rule, not advice. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const FOLDERS = [
  "base",
  "store",
  "settings",
  "health",
  "http",
  "client",
  "access",
  "registry",
  "locks",
  "quotas",
  "config-server",
  "flags",
  "gateway",
  "agent",
  "dns",
  "server",
  "cli",
  "demo",
];

/** What a folder may import of ours, by the name in package.json's "imports". */
const MAY: Record<string, readonly string[]> = {
  base: [],
  store: ["#base"],
  settings: ["#base"],
  health: ["#base", "#base/address-class"],
  http: ["#base"],
  client: [
    "#base",
    "#base/files",
    "#base/formats",
    "#base/library",
    "#http/frames",
    "#registry/api",
    "#access/api",
    "#locks/api",
    "#quotas/api",
    "#config-server/api",
    "#gateway/api",
    "#flags/core",
  ],
  access: ["#base", "#http", "#store"],
  registry: ["#base", "#store", "#health", "#health/core", "#http"],
  locks: ["#base", "#store", "#http"],
  quotas: ["#base", "#store", "#http"],
  "config-server": [
    "#base",
    "#base/formats",
    "#base/plain-json",
    "#base/properties",
    "#base/toml-source",
    "#base/yaml",
    "#store",
    "#http",
  ],
  flags: ["#base", "#base/shape", "#base/yaml", "#config-server/api", "#http"],
  gateway: [
    "#base",
    "#base/state-file",
    "#base/address-class",
    "#base/dial",
    "#base/files",
    "#base/shape",
    "#base/plain-json",
    "#base/yaml",
    "#health",
    "#health/core",
    "#http",
    "#http/frames",
    "#client",
    "#registry/api",
    "#config-server/api",
    "#quotas/api",
  ],
  agent: [
    "#base",
    "#base/formats",
    "#flags",
    "#health",
    "#health/core",
    "#http",
    "#http/frames",
    "#client",
    "#registry/api",
    "#config-server/api",
  ],
  dns: ["#base", "#client", "#registry/api"],
  server: [
    "#base",
    "#base/state-file",
    "#base/address-class",
    "#base/prometheus",
    "#base/system",
    "#base/dial",
    "#base/files",
    "#base/yaml",
    "#config-server/api",
    "#access/api",
    "#gateway/api",
    "#locks/api",
    "#quotas/api",
    "#registry/api",
    "#store",
    "#settings",
    "#health",
    "#http",
    "#client",
    "#access",
    "#registry",
    "#locks",
    "#quotas",
    "#config-server",
    "#flags",
    "#gateway",
    "#gateway/config-text",
    "#agent",
    "#dns",
  ],
  demo: ["#base", "#client", "#config-server/api", "#server"],
  cli: [
    "#base",
    "#base/formats",
    "#base/library",
    "#base/system",
    "#base/yaml",
    "#server",
    "#server/gateway-worker",
    "#server/version",
    "#client",
    "#access/api",
    "#config-server/api",
    "#config-server/secret-keys",
    "#locks/api",
    "#registry/api",
    "#gateway/api",
    "#gateway/config-text",
    "#settings",
    "#demo",
  ],
};

/** Parts of a contract that is too long for one file; its `api.ts` exports them again. */
const CONTRACT_PARTS = new Set([
  "agent/file-api.ts",
  "config-server/contract/changes.ts",
  "config-server/contract/items.ts",
  "config-server/contract/rollout.ts",
  "config-server/contract/secrets.ts",
  "config-server/contract/transfer.ts",
  "gateway/contract/actions.ts",
  "gateway/contract/clusters.ts",
  "gateway/contract/explanation.ts",
  "gateway/contract/match.ts",
  "gateway/contract/policies.ts",
  "gateway/contract/words.ts",
  "registry/checks.ts",
  "registry/policy.ts",
  "registry/resolve-check.ts",
]);
/** An `api.ts` is a contract: shapes and codes, and nothing else; it may be built on another contract. */
const API_MAY = new Set(["#base", "typebox", "#registry/api", "#config-server/api"]);
/** What a core may import beside its own folder, its `../api.ts` and these. */
const CORE_MAY = new Set([
  "#base",
  "#base/address-class",
  "#base/formats",
  "#base/shape",
  "#base/plain-json",
  "#base/properties",
  "#base/toml-source",
  "#base/yaml",
  "#config-server/api",
  "#health/core",
  "mustache",
  "typebox",
  "typebox/compile",
  "typebox/value",
  "find-my-way",
  "ipaddr.js",
  "dns-packet",
  "re2js",
  "yaml",
  "smol-toml",
  "jsonc-parser",
  "re2js",
  "node:crypto",
  "node:assert",
]);
const IMPURE =
  /\b(Date\.now|Math\.random|random(Bytes|Int|UUID)|set(Timeout|Interval|Immediate)|performance\.now)\b|\bprocess\.|\bfetch\(|\bconsole\./;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
  /** Those that are there when it runs: `import type` is gone by then, and cannot make a detour. */
  readonly runtime: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  imports: Record<string, string>;
  exports: Record<string, string | { default: string }>;
};
const aliases = manifest.imports;
/** What others import from the package, before it is built. */
const faces = Object.values(manifest.exports).flatMap((face) =>
  typeof face === "string" ? [] : [face.default.replace(/^\.\/dist\/(.*)\.js$/, "$1.ts")],
);

function load(patterns: readonly string[]): Source[] {
  return patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .map((path) => path.replaceAll("\\", "/"))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
      const matches = [...code.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*["']([^"']+)["']/g)];
      const imports = matches.map((match) => match[1] as string);
      const types = new Set(
        [...code.matchAll(/\b(?:import|export) type [^;"']*?from\s*["']([^"']+)["']/g)].map((match) => match[1]),
      );
      const runtime = imports.filter((specifier) => !types.has(specifier));
      return { path, text: code, imports, runtime };
    });
}

const sources = load(FOLDERS.map((folder) => `${folder}/**/*.ts`));

/** The file that an import of ours names; undefined for packages and Node's own. */
function target(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return normalize(join(dirname(from), specifier));
  const aliased = aliases[specifier];
  return aliased === undefined ? undefined : normalize(aliased);
}

function violations(sources: readonly Source[]): string[] {
  const found: string[] = [];
  for (const { path, imports, text } of sources) {
    const folder = path.split("/", 1)[0] as string;
    const isApi = path === `${folder}/api.ts` || CONTRACT_PARTS.has(path);
    const isCore = path.startsWith(`${folder}/core/`);
    for (const specifier of imports) {
      const to = target(path, specifier);
      if (specifier.startsWith(".") && !to?.startsWith(`${folder}/`))
        found.push(`${path}: ${specifier} leaves its folder`);
      if (specifier.startsWith("#") && to === undefined) found.push(`${path}: ${specifier} is no public face`);
      if (specifier.startsWith("#") && !MAY[folder]?.includes(specifier))
        found.push(`${path}: may not import ${specifier}`);
      const part = CONTRACT_PARTS.has(target(path, specifier) ?? "");
      if (isApi && !part && !API_MAY.has(specifier)) found.push(`${path}: a contract may not import ${specifier}`);
      if (isCore) {
        const own = to !== undefined && (to.startsWith(`${folder}/core/`) || to === `${folder}/api.ts`);
        if (!own && !CORE_MAY.has(specifier)) found.push(`${path}: a core may not import ${specifier}`);
      }
    }
    const impure = isCore ? IMPURE.exec(text) : null;
    if (impure) found.push(`${path}: a core may not say ${impure[0]}`);
  }
  return found;
}

test("every import is one that the table allows, and cores touch neither time, chance nor the outside", () => {
  expect(violations(sources)).toEqual([]);
});

/** What opens a socket, where it is imported from. */
const OPENS = String.raw`\b(connect|createConnection|request|get|buildConnector|Agent|Client|Pool|fetch)\b`;
const DIAL = new RegExp(`${OPENS}[^;]*from "(node:(net|tls|https?|http2)|undici)"|(?<![.#\\w])fetch\\(`);

test("the gateway opens sockets in two files, which ask first whether an address may be dialled", () => {
  const dialling = sources.filter(
    ({ path, text }) =>
      path.startsWith("gateway/") &&
      [...text.matchAll(/^import (?!type)[\s\S]*?;|.*fetch\(.*/gm)].some(([line]) => DIAL.test(line)) &&
      // HTTP/2 over a socket that stands.
      !text.includes("createConnection: () => socket"),
  );
  expect(dialling.map(({ path }) => path)).toEqual(["gateway/tokens/fetch-document.ts", "gateway/upstream/connect.ts"]);
  for (const { path, text } of dialling) expect(text, path).toContain("dial.target(");
});

test("a planted violation of each kind is found", () => {
  const planted: Source[] = [
    { path: "gateway/x.ts", text: "", runtime: [], imports: ["#store"] },
    { path: "registry/x.ts", text: "", runtime: [], imports: ["#config-server/api"] },
    {
      path: "registry/core/x.ts",
      text: "const now = Date.now();",
      runtime: [],
      imports: ["node:fs", "../registry.ts"],
    },
    { path: "agent/api.ts", text: "", runtime: [], imports: ["fastify"] },
    { path: "http/x.ts", text: "", runtime: [], imports: ["../base/mod.ts", "#nowhere"] },
  ];
  expect(violations(planted)).toEqual([
    "gateway/x.ts: may not import #store",
    "registry/x.ts: may not import #config-server/api",
    "registry/core/x.ts: a core may not import node:fs",
    "registry/core/x.ts: a core may not import ../registry.ts",
    "registry/core/x.ts: a core may not say Date.now",
    "agent/api.ts: a contract may not import fastify",
    "http/x.ts: ../base/mod.ts leaves its folder",
    "http/x.ts: #nowhere is no public face",
    "http/x.ts: may not import #nowhere",
  ]);
});

test("only base/library.ts touches the real clock, chance and log", () => {
  const touching = sources
    .filter(({ path }) => path !== "base/library.ts" && !/^(cli|demo)\//.test(path))
    .filter(({ text }) => /\b(Date\.now|Math\.random|setTimeout|setInterval|performance\.now)\b|\bconsole\./.test(text))
    .map(({ path }) => path);
  expect(touching).toEqual([]);
});

test("no file imports itself by a detour", () => {
  const graph = new Map<string, string[]>();
  for (const { path, runtime } of sources) {
    graph.set(
      path,
      runtime.map((specifier) => target(path, specifier)).filter((to) => to !== undefined),
    );
  }
  const cycles: string[] = [];
  const state = new Map<string, "open" | "done">();
  const walk = (path: string, trail: readonly string[]) => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) walk(path, []);
  expect(cycles).toEqual([]);
});

test("every file is reached from the program, and every public face is used", () => {
  const all = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const walk = (path: string) => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const specifier of all.get(path)?.imports ?? []) {
      const to = target(path, specifier);
      if (to !== undefined) walk(to);
    }
  };
  // The demo's services and its identity provider are programs of their own; what the package exports others import.
  for (const entry of ["cli/main.ts", "demo/service.ts", "demo/identity-provider.ts", ...faces]) walk(entry);
  expect(sources.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
  const others = load(["test/**/*.ts", "scripts/**/*.ts", "bench/**/*.ts"]);
  const used = new Set([...sources, ...others].flatMap(({ imports }) => imports));
  expect(Object.keys(aliases).filter((alias) => !used.has(alias))).toEqual([]);
});
