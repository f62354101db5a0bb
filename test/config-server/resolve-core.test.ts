/** Layers, imports and placeholders: what one config is made of, without a server. */
import { expect, test } from "vitest";
import { VALUE_BYTES_MAX, type Item, type SetName } from "#config-server/api";
import {
  DEPTH_MAX,
  EXPAND_CHARS_MAX,
  expandItem,
  parseReference,
  setsIn,
  type Source,
} from "../../config-server/core/expand.ts";
import {
  appsNamedBy,
  IMPORTS_MAX,
  layersOf,
  readImports,
  resolve,
  type Lookup,
} from "../../config-server/core/resolve.ts";
import type { OpenItem, OpenItems } from "../../config-server/core/sealed.ts";

const text = (value: string, over: object = {}): OpenItem => ({ format: "text", value, ...over });
const yaml = (value: string, over: object = {}): OpenItem => ({ format: "yaml", value, ...over });
const expand = { expand: true };
const secret = { secret: true };

/** Sets as `NAMESPACE/APP/PROFILE`; each is version 3, live at the revision of its place in the list. */
function world(sets: Readonly<Record<string, OpenItems>>): Lookup {
  const ids = Object.keys(sets);
  return ({ namespace, app, profile }) => {
    const id = `${namespace}/${app}/${profile}`;
    const items = sets[id];
    const release = { namespace, app, profile, version: 3, hash: id, items } as never;
    return items && { release, revision: ids.indexOf(id) + 1 };
  };
}
const hash = (text: string) => text;
const name = (app: string, profile = "default", namespace = "default"): SetName => ({ namespace, app, profile });
function told(sets: Readonly<Record<string, OpenItems>>, of = name("orders")) {
  const { config, problems, apps, sets: made } = resolve(of, world(sets), hash);
  const values = Object.fromEntries(Object.entries(config.items).map(([key, { value }]) => [key, value]));
  return { config, values, problems: problems.map(({ key, message }) => `${key}: ${message}`), apps: [...apps], made };
}

test("layers go from the base to the profile, and from both to their labels", () => {
  const profiles = (profile: string) => layersOf(name("a", profile)).map((one) => one.profile);
  expect([profiles("default"), profiles("prod"), profiles("default@blue"), profiles("prod@blue")]).toEqual([
    ["default"],
    ["default", "prod"],
    ["default", "default@blue"],
    ["default", "prod", "default@blue", "prod@blue"],
  ]);
});

test("of each key the highest layer holds; shared sets lie below, the later over the earlier, and say whose they are", () => {
  const sets = {
    "default/base/default": { a: text("base"), b: text("base"), "imports.yaml": yaml("- deep") },
    "default/deep/default": { a: text("deep"), deep: text("deep") },
    "other/more/default": { b: text("more") },
    "default/orders/default": { c: text("own"), "imports.yaml": yaml("- base\n- other/more\n- deep\n") },
    "default/orders/prod": { c: text("prod") },
  };
  const { config, values, apps, made, problems } = told(sets, name("orders", "prod"));
  const imports = "- base\n- other/more\n- deep\n";
  expect(values).toEqual({ a: "base", b: "more", c: "prod", deep: "deep", "imports.yaml": imports });
  expect([config.items["b"]?.origin, config.items["a"]?.origin, config.items["c"]?.origin]).toEqual([
    { namespace: "other", app: "more", profile: "default", version: 3 },
    { namespace: "default", app: "base", profile: "default", version: 3 },
    { profile: "prod", version: 3 },
  ]);
  expect(apps.toSorted()).toEqual(["default/base", "default/deep", "default/orders", "other/more"]);
  expect([made.length, config.revision, problems]).toEqual([5, 5, []]);
  // The key of a release names the version of everything that it depends on.
  expect(resolve(name("orders"), world({}), hash).config).toMatchObject({ revision: 0, items: {} });
  expect(config.releaseKey).toHaveLength(32);
});

test("imports in a circle, and more than so many, are problems of the list", () => {
  const circle = told({
    "default/orders/default": { a: text("1"), "imports.yaml": yaml("- one") },
    "default/one/default": { b: text("2"), "imports.yaml": yaml("- orders") },
  });
  expect([circle.values["b"], circle.problems]).toEqual([
    "2",
    ["imports.yaml: the imports are circular: default/orders → default/one → default/orders; remove one of them"],
  ]);
  const chain = (count: number) => {
    const list = Array.from({ length: count }, (_, i) => `- s${i}`).join("\n");
    const shared = Array.from({ length: count }, (_, i) => [`default/s${i}/default`, { [`k${i}`]: text("x") }]);
    const own = { "imports.yaml": yaml("- all\n- extra") };
    return told({
      "default/orders/default": own,
      "default/all/default": { "imports.yaml": yaml(list) },
      ...(Object.fromEntries(shared) as object),
    });
  };
  expect([chain(IMPORTS_MAX - 1).problems, chain(IMPORTS_MAX - 2).problems]).toEqual([
    [`imports.yaml: more than ${IMPORTS_MAX} apps, including those that imported apps import`],
    [],
  ]);
});

test("a list of imports is one of apps, and no longer than may be", () => {
  const list = (value: string, format: Item["format"] = "yaml") => readImports({ format, value });
  expect(list("- a\n- b/c\n").imports).toEqual(["a", "b/c"]);
  expect([list("").imports, list("[]", "json").imports]).toEqual([[], []]);
  const many = (count: number) => list(Array.from({ length: count }, () => "- a").join("\n"));
  expect([many(IMPORTS_MAX).imports?.length, many(IMPORTS_MAX + 1).imports]).toEqual([IMPORTS_MAX, undefined]);
  for (const wrong of [
    list("- a", "text"),
    list("a: b"),
    list("- A"),
    list("- 1"),
    list("- a/b/c"),
    list("[", "json"),
  ]) {
    expect([wrong.imports, wrong.problem]).toEqual([undefined, expect.stringContaining("must be a list of")]);
  }
  expect(list("- a\n- B!").problem).toContain('"B!" is not a valid app name');
});

test("the apps that a set names are those of its imports and of the placeholders that are asked for", () => {
  const items = {
    "imports.yaml": yaml("- shared\n- far/away"),
    a: text("${one:k} ${two/prod:k} ${ns/three/prod:k} ${k}", expand),
    b: text("${never:k}"),
  };
  expect([...appsNamedBy(name("orders"), items)].toSorted()).toEqual([
    "default/one",
    "default/shared",
    "default/two",
    "far/away",
    "ns/three",
  ]);
  expect([...appsNamedBy(name("orders"), { "imports.yaml": yaml("a: b") })]).toEqual([]);
  expect(setsIn(text("${a:k} $${b:k} ${bad key:} ${c/d:k}"))).toEqual(["a", "c/d"]);
});

test("placeholders look into the config, and into those of other sets", () => {
  const { values, problems } = told({
    "default/orders/default": {
      host: text("db"),
      port: yaml("server: { port: 80, tags: [a] }"),
      plain: text("${host}"),
      url: text("http://${host}:${port#server.port}/${other:x}/${far/other/prod:x}/$${host}", expand),
      chain: text("${url}", expand),
      typed: yaml("port: ${port#server.port}\nname: ${host}\n", expand),
      absent: text("${nothing|a default}-${nothing|}-${port#no.such|x}", expand),
    },
    "default/other/default": { x: text("here") },
    "far/other/prod": { x: text("there") },
  });
  expect(problems).toEqual([]);
  expect(values).toMatchObject({
    plain: "${host}",
    url: "http://db:80/here/there/${host}",
    chain: "http://db:80/here/there/${host}",
    typed: "port: 80\nname: db\n",
    absent: "a default--x",
  });
});

test.each([
  ["${nothing}", /no key "nothing"/],
  ["${gone:x}", /nothing is released for "gone"/],
  ["${list#server.no}", /has nothing at server\.no/],
  ["${list#server}", /is a list or an object/],
  ["${bad key}", /is not a valid placeholder/],
  ["${open", /has no end/],
  ["${a}", /is circular/],
])("%s is a problem that says why", (value, problem) => {
  const { problems } = told({
    "default/orders/default": { a: text(value, expand), list: yaml("server: { port: 80 }") },
  });
  expect(problems).toEqual([expect.stringMatching(problem)]);
});

test("a placeholder is a key, perhaps of a set, a path and a default", () => {
  expect(parseReference("k")).toEqual({ set: undefined, key: "k", path: [], fallback: undefined });
  expect(parseReference("ns/app/p@l:k#a.b|x|y")).toEqual({
    set: "ns/app/p@l",
    key: "k",
    path: ["a", "b"],
    fallback: "x|y",
  });
  for (const wrong of ["", ":k", "A:k", "k#", "k k", "a/b/c/d:k"])
    expect(() => parseReference(wrong)).toThrow("not a valid placeholder");
});

test("placeholders nest so deep, are read from values so large, and become no larger than a value", () => {
  const chain = (depth: number) => {
    const links = Array.from({ length: depth }, (_, i) => [`k${i}`, text(`\${k${i + 1}}`, expand)]);
    const items = { ...Object.fromEntries(links), [`k${depth}`]: text("end") } as OpenItems;
    return told({ "default/orders/default": items }).problems.filter((problem) => problem.startsWith("k0:"));
  };
  expect([chain(DEPTH_MAX), chain(DEPTH_MAX + 1).length]).toEqual([[], 1]);
  const large = (chars: number) =>
    told({ "default/orders/default": { a: text(`${"x".repeat(chars - 4)}\${b}`, expand), b: text("b") } }).problems;
  expect([large(EXPAND_CHARS_MAX), large(EXPAND_CHARS_MAX + 1).length]).toEqual([[], 1]);
  const filled = (times: number, chars: number) =>
    told({
      "default/orders/default": { a: text("${b}".repeat(times), expand), b: text("x".repeat(chars)) },
    }).problems.length;
  expect([filled(16, VALUE_BYTES_MAX / 16), filled(17, VALUE_BYTES_MAX / 16)]).toEqual([0, 1]);
  const { problems } = told({
    "default/orders/default": { a: { format: "binary", value: "AAAA", expand: true } as never },
  });
  expect(problems).toEqual([expect.stringContaining('"a" is binary and has no placeholders')]);
});

test("a value that a secret is filled into is a secret, and a secret stays in its namespace", () => {
  const { config, problems } = told({
    "default/orders/default": {
      key: text("k3y", secret),
      url: text("${key}@db", expand),
      plain: text("${host|h}", expand),
      foreign: text("${far/shop/default:key}", expand),
    },
    "far/shop/default": { key: text("f4r", secret) },
  });
  const kinds = Object.entries(config.items).map(([key, item]) => [key, item.secret ?? false]);
  expect(Object.fromEntries(kinds)).toEqual({ key: true, url: true, plain: false, foreign: false });
  expect([config.items["url"]?.value, problems]).toEqual([
    "k3y@db",
    [expect.stringMatching(/foreign: .*secret of far\/shop\/default/)],
  ]);
  const imported = told({
    "default/orders/default": { "imports.yaml": yaml("- far/shop") },
    "far/shop/default": { key: text("f4r", secret) },
  });
  expect(imported.problems).toEqual([expect.stringMatching(/^key: it is a secret of far\/shop\/default/)]);
});

test("a problem in a secret quotes nothing of it; a secret that cannot be read is named", () => {
  const source = (items: OpenItems): Source => ({ id: "x", item: (key) => items[key], other: () => undefined });
  const message = (items: OpenItems, item: OpenItem) => {
    try {
      return expandItem(source(items), "a", item);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(message({}, text("${hidden-name}", { ...expand, ...secret }))).toBe(
    'a placeholder in the secret "a" cannot be filled in',
  );
  const inner = message({ b: text("${hidden-name}", { ...expand, ...secret }) }, text("${b}", expand));
  expect(inner).toBe("${b}: a placeholder in that secret cannot be filled in");
  const unreadable = { set: "x", key: "b", message: "the key is gone" };
  expect(message({ b: text("", { ...secret, unreadable }) }, text("${b}", { ...expand, ...secret }))).toBe(
    "${b}: the key is gone",
  );
  expect(message({ b: text("x", { ...secret, opaque: true }) }, text("<${b}>", expand))).toEqual({
    value: "<>",
    secret: true,
  });
  expect(message({ b: text("x") }, text("${b}", expand))).toEqual({ value: "x", secret: false });
  expect(message({}, { format: "binary", value: "AAAA" })).toContain("is binary");
});
