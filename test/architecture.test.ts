/** Which module may import which; cores are pure; no cycles; nothing dead. The table is house rule, not advice. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  deadExports,
  importCycles,
  importViolations,
  rulebookViolations,
  unreachedFiles,
  type Rulebook,
} from "../scripts/architecture/rules.ts";
import { modulesPicture } from "../scripts/architecture/picture.ts";
import { loadSources, moduleOf, programSources, readSource, targetOf } from "../scripts/architecture/sources.ts";

const root = join(import.meta.dirname, "..");
/** The modules that a module may import, by the names in package.json's "imports". A module is a folder of the tree. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  "kernel/base": [],
  "kernel/store": ["#base"],
  "kernel/settings": ["#base"],
  "kernel/health": ["#base", "#base/address-class"],
  "kernel/authorization": [],
  "kernel/http": ["#base", "#base/address-class", "#authorization"],
  "kernel/identity": ["#base", "#http", "#store"],
  sidecar: [
    "#base",
    "#base/dial",
    "#base/yaml",
    "#config-server/api",
    "#gateway/balancing",
    "#identity/core",
    "#identity/mesh",
  ],
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
    "#gateway/balancing",
    "#authorization/api",
    "#identity/api",
    "#identity/core",
    "#sidecar/api",
    "#traffic/api",
    "#flags/core",
    "#timeline/api",
  ],
  "kernel/changes": ["#base", "#store"],
  "kernel/access": [
    "#base",
    "#base/address-class",
    "#authorization",
    "#authorization/api",
    "#changes",
    "#http",
    "#identity/core",
    "#store",
  ],
  registry: ["#base", "#store", "#health", "#health/core", "#http"],
  locks: ["#base", "#store", "#http"],
  quotas: ["#base", "#store", "#http"],
  traffic: ["#base", "#store", "#http"],
  timeline: ["#base", "#changes", "#changes/api", "#config-server/api", "#http", "#registry/api", "#store"],
  "config-server": [
    "#base",
    "#base/formats",
    "#base/plain-json",
    "#base/properties",
    "#base/toml-source",
    "#base/yaml",
    "#changes",
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
    "#health/core",
    "#http",
    "#identity/core",
    "#identity/mesh",
    "#client",
    "#registry/api",
    "#config-server/api",
    "#quotas/api",
    "#traffic/api",
  ],
  agent: [
    "#base",
    "#base/files",
    "#base/address-class",
    "#base/dial",
    "#base/formats",
    "#flags",
    "#health",
    "#health/core",
    "#http",
    "#http/frames",
    "#identity/core",
    "#identity/api",
    "#sidecar",
    "#client",
    "#client/follow",
    "#registry/api",
    "#config-server/api",
  ],
  dns: ["#base", "#base/address-class", "#health/core", "#client", "#registry/api"],
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
    "#timeline/api",
    "#traffic/api",
    "#authorization/api",
    "#changes",
    "#identity",
    "#identity/api",
    "#identity/core",
    "#sidecar/api",
    "#sidecar/control",
    "#sidecar/rules",
    "#timeline",
    "#traffic",
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
    "#gateway/explain",
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
    "#client/follow",
    "#client/light",
    "#access/api",
    "#authorization/api",
    "#identity/api",
    "#identity/request",
    "#config-server/api",
    "#config-server/secret-keys",
    "#locks/api",
    "#registry/api",
    "#gateway/api",
    "#gateway/config-text",
    "#gateway/explain",
    "#settings",
    "#settings/control",
    "#demo",
    "#timeline/api",
  ],
};

/** An `api.ts` is a contract: shapes and codes, and nothing else; it may be built on another contract. */
const CONTRACT_MAY = new Set([
  "#base",
  "#authorization/api",
  "typebox",
  "#changes/api",
  "#registry/api",
  "#config-server/api",
]);
/** A core may import its own folder, its `../api.ts` and these. */
const CORE_MAY = new Set([
  "#base",
  // Pure.
  "#authorization",
  "#gateway/balancing",
  "#traffic/api",
  "#base/address-class",
  "#base/formats",
  "#base/shape",
  "#base/plain-json",
  "#base/properties",
  "#base/toml-source",
  "#base/yaml",
  "#config-server/api",
  "#health/core",
  "#identity/core",
  "mustache",
  "typebox",
  "typebox/compile",
  "typebox/value",
  "ipaddr.js",
  "dns-packet",
  "re2js",
  "yaml",
  "smol-toml",
  "jsonc-parser",
  "node:crypto",
]);

const RULES: Rulebook = { may: MAY, contractMay: CONTRACT_MAY, coreMay: CORE_MAY };

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  imports: Record<string, string>;
  exports: Record<string, string | { default: string }>;
  dependencies: Record<string, string>;
};
const aliases = manifest.imports;
/** The entry points of the package, before it is built. */
const faces = Object.values(manifest.exports).flatMap((face) =>
  typeof face === "string" ? [] : [face.default.replace(/^\.\/dist\/(.*)\.js$/, "$1.ts")],
);
/** The demo's services and its identity provider are programs of their own; a worker is started by its path. */
const entries = [
  "cli/main.ts",
  "demo/service.ts",
  "demo/identity-provider.ts",
  "config-server/releases/check-worker.ts",
  ...faces,
];

const sources = programSources(root);
const users = [...sources, ...loadSources(root, ["test/**/*.ts", "scripts/**/*.ts", "bench/**/*.ts"])];

test("the table allows every import, and cores touch neither time, chance nor the outside", () => {
  expect(importViolations(sources, aliases, RULES)).toEqual([]);
});

/** The folders of the gateway's core, from the bottom up: each imports only those before it. */
const CORE_FOLDERS = [
  "paths",
  "callers",
  "request",
  "rewriting",
  "limits",
  "balancing",
  "routing",
  "decision",
  "check",
] as const;

test("every folder of the gateway's core imports only those before it", () => {
  const rankOf = (path: string) => CORE_FOLDERS.findIndex((folder) => path.startsWith(`gateway/core/${folder}/`));
  const upward = sources
    .filter(({ path }) => path.startsWith("gateway/core/"))
    .flatMap(({ path, imports }) => {
      expect([path, rankOf(path) >= 0]).toEqual([path, true]);
      const targets = imports.map(({ specifier }) => targetOf(aliases, path, specifier) ?? "");
      return targets.filter((to) => rankOf(to) > rankOf(path)).map((to) => `${path} imports ${to}`);
    });
  expect(upward).toEqual([]);
});

test("the table has no unused row and no unused entry", () => {
  expect(rulebookViolations(sources, RULES, new Set(Object.keys(manifest.dependencies)))).toEqual([]);
});

test("no file imports itself by a detour, neither at run time nor among types", () => {
  expect(importCycles(sources, aliases)).toEqual([]);
});

test("every file is reached from the program, every public face is used, and every exported value imported", () => {
  expect(unreachedFiles(sources, aliases, entries)).toEqual([]);
  const used = new Set(users.flatMap(({ imports }) => imports.map(({ specifier }) => specifier)));
  expect(Object.keys(aliases).filter((alias) => !used.has(alias))).toEqual([]);
  expect(deadExports(sources, users, aliases, entries)).toEqual([]);
});

/** Functions that open a socket, by the module that exports them. */
const OPENS = String.raw`\b(connect|createConnection|request|get|buildConnector|Agent|Client|Pool|fetch)\b`;
const DIAL = new RegExp(`${OPENS}[^;]*from "(node:(net|tls|https?|http2)|undici)"|(?<![.#\\w])fetch\\(`);

test("the gateway opens sockets in two files, which ask first whether an address may be dialled", () => {
  const dialling = sources.filter(
    ({ path, code }) =>
      path.startsWith("gateway/") &&
      [...code.matchAll(/^import (?!type)[\s\S]*?;|.*fetch\(.*/gm)].some(([line]) => DIAL.test(line)) &&
      // HTTP/2 over an established socket.
      !code.includes("createConnection: () => socket"),
  );
  expect(dialling.map(({ path }) => path)).toEqual(["gateway/tokens/fetch-document.ts", "gateway/upstream/connect.ts"]);
  for (const { path, code } of dialling) expect(code, path).toContain("dial.target(");
});

test("only base/library.ts touches the real clock, chance and log", () => {
  const touching = sources
    .filter(({ path }) => path !== "kernel/base/library.ts" && !/^(cli|demo)\//.test(path))
    .filter(({ code }) => /\b(Date\.now|Math\.random|setTimeout|setInterval|performance\.now)\b|\bconsole\./.test(code))
    .map(({ path }) => path);
  expect(touching).toEqual([]);
});

/** Rules over a few files that are not there. */
function planted(files: Readonly<Record<string, string>>) {
  return Object.entries(files).map(([path, text]) => readSource(path, text));
}

const NO_RULES: Rulebook = { may: {}, contractMay: new Set(), coreMay: new Set() };

test("a planted import that the table does not have is found, whatever its form", () => {
  const rules = { ...NO_RULES, may: { gateway: [], registry: ["#base"], agent: [], "kernel/http": [] } };
  const files = planted({
    "gateway/value.ts": 'import { openStore } from "#store";',
    "gateway/type.ts": 'import type { Store } from "#store";',
    "gateway/again.ts": 'export * from "#store";',
    "gateway/later.ts": 'export const store = () => import("#store");',
    "gateway/in-type.ts": 'export type S = import("#store").Store;',
    "kernel/http/x.ts": 'import "../base/mod.ts";\nimport { a } from "#nowhere";',
    "newcomer/x.ts": "export {};",
    "registry/fine.ts": 'import { own } from "#base";',
  });
  expect(
    importViolations(files, { "#store": "./kernel/store/mod.ts", "#base": "./kernel/base/mod.ts" }, rules),
  ).toEqual([
    "gateway/value.ts: may not import #store",
    "gateway/type.ts: may not import #store",
    "gateway/again.ts: may not import #store",
    "gateway/later.ts: may not import #store",
    "gateway/in-type.ts: may not import #store",
    "kernel/http/x.ts: ../base/mod.ts leaves its folder",
    "kernel/http/x.ts: #nowhere is not a public face",
    "newcomer/x.ts: its folder has no row in the table",
  ]);
});

test("a planted impurity of a core or a contract is found", () => {
  const rules = { may: { registry: ["#base"] }, contractMay: new Set(["typebox"]), coreMay: new Set(["#base"]) };
  const files = planted({
    "registry/core/clock.ts": "export const now = Date.now();",
    "registry/core/date.ts": "export const now = new Date();",
    "registry/core/parsed.ts": "export const then = new Date(5); // not new Date()",
    "registry/core/shell.ts": 'import { Registry } from "../registry.ts";\nimport { readFileSync } from "node:fs";',
    "registry/core/later.ts": 'export const load = () => import("./clock.ts");',
    "registry/core/fine.ts": 'import { a } from "../contract/checks.ts";\nimport { b } from "../api.ts";',
    "registry/api.ts": 'import fastify from "fastify";\nexport * from "./contract/checks.ts";',
    "registry/contract/checks.ts": 'import { Registry } from "../registry.ts";\nimport { Type } from "typebox";',
  });
  expect(importViolations(files, { "#base": "./kernel/base/mod.ts" }, rules)).toEqual([
    "registry/core/clock.ts: a core may not use Date.now",
    "registry/core/date.ts: a core may not use new Date()",
    "registry/core/shell.ts: a core may not import ../registry.ts",
    "registry/core/shell.ts: a core may not import node:fs",
    "registry/core/later.ts: a core may not load ./clock.ts at run time",
    "registry/api.ts: a contract may not import fastify",
    "registry/contract/checks.ts: a contract may not import ../registry.ts",
  ]);
});

test("planted entries without a use are found", () => {
  const rules = {
    may: { dns: ["#base", "#client"], gone: ["#base"] },
    contractMay: new Set<string>(),
    coreMay: new Set(["left-pad", "yaml", "node:crypto"]),
  };
  const files = planted({ "dns/core/x.ts": 'import { own } from "#base";\nimport "left-pad";\nimport "node:crypto";' });
  expect(rulebookViolations(files, rules, new Set(["yaml"]))).toEqual([
    "dns does not import #client",
    "the table has a row for gone, which does not exist",
    "gone does not import #base",
    "left-pad is not a dependency",
    "no core imports yaml",
  ]);
});

test("a planted cycle is found, of values, of types, and of what is exported again", () => {
  for (const back of ['import { a } from "./a.ts";', 'import type { A } from "./a.ts";', 'export * from "./a.ts";']) {
    const files = planted({ "dns/a.ts": 'import { b } from "./b.ts";\nexport const a = b;', "dns/b.ts": back });
    expect(importCycles(files, {})).toEqual(["dns/a.ts → dns/b.ts → dns/a.ts"]);
  }
});

test("planted dead files and dead exports are found", () => {
  const files = planted({
    "cli/main.ts": 'import { used } from "./used.ts";\nexport type { Kept } from "./types.ts";',
    "cli/used.ts": "export const used = 1;\nexport function unused() {}\nexport interface Shape { a: 1 }",
    "cli/types.ts": "export class Kept {}\nexport const { one, two } = { one: 1, two: 2 };",
    "cli/lost.ts": 'import { one } from "./types.ts";',
  });
  expect(unreachedFiles(files, {}, ["cli/main.ts"])).toEqual(["cli/lost.ts"]);
  expect(deadExports(files, files, {}, ["cli/main.ts"])).toEqual([
    "cli/used.ts: unused is never imported",
    "cli/types.ts: two is never imported",
  ]);
});

test("a module is a folder of the kernel's, or one beside it", () => {
  expect(moduleOf("kernel/store/lmdb/disk.ts")).toBe("kernel/store");
  expect(moduleOf("gateway/core/paths/path.ts")).toBe("gateway");
});

test("the picture puts each module above all that it imports, contracts aside", () => {
  const files = planted({
    "server/mod.ts": 'import "../gateway/mod.ts";\nimport "../kernel/base/mod.ts";',
    "gateway/mod.ts": 'import "../kernel/base/mod.ts";\nimport "../server/api.ts";',
    "kernel/base/mod.ts": "export {};",
    "server/api.ts": "export {};",
  });
  const words = modulesPicture(files, {}).match(/\[ \S+ \]/g);
  expect(words).toEqual(["[ server ]", "[ gateway ]", "[ kernel/base ]"]);
  const bent = planted({ "dns/a.ts": 'import "../agent/b.ts";', "agent/b.ts": 'import "../dns/a.ts";' });
  expect(() => modulesPicture(bent, {})).toThrow("modules import each other");
});
