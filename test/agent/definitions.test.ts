/** Definition files: the accepted forms, and errors that point at the place to correct. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readDefinitions } from "../../agent/definitions.ts";
import { hostAddressProblem } from "#base";
import { tempFolder } from "#test/kit";

const DEFAULTS = { node: "host-a", address: "10.0.0.7" };

async function read(files: Record<string, string>) {
  await using folder = await tempFolder();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text);
  const definitions = await readDefinitions(folder.path, DEFAULTS).catch((error: unknown) => error as Error);
  return { definitions, folder: folder.path };
}

/** The error for a text that is neither an address nor a host name. */
function noAddress(text: string): string {
  return hostAddressProblem(text) ?? "";
}

async function errorOf(text: string, name = "web.yaml"): Promise<string> {
  const { definitions, folder } = await read({ [name]: text });
  expect(definitions).toMatchObject({ code: "AGENT_DEFINITION_INVALID" });
  return (definitions as Error).message.replace(`${folder}/`, "");
}

test("YAML and JSON files, single and in lists, add up; ids and addresses have defaults", async () => {
  const { definitions, folder } = await read({
    "a.yaml": `services:\n  - { name: web, port: 80 }\n  - { name: web, port: 81, id: second, address: 10.0.0.9 }\n`,
    "b.json": `{ "service": { "name": "api", "namespace": "shop", "port": 90 } }`,
    "c.yml": `files:\n  - { app: web, key: app.yaml, path: out/app.yaml, mode: "0600" }\n`,
    "empty.yaml": "",
    "ignored.txt": "not: [yaml",
    ".hidden.yaml": "not: [yaml",
  });
  expect(definitions).toEqual({
    services: [
      {
        name: { namespace: "default", service: "web", id: "host-a-web-80" },
        registration: { address: "10.0.0.7", port: 80 },
      },
      { name: { namespace: "default", service: "web", id: "second" }, registration: { address: "10.0.0.9", port: 81 } },
      {
        name: { namespace: "shop", service: "api", id: "host-a-api-90" },
        registration: { address: "10.0.0.7", port: 90 },
      },
    ],
    files: [
      {
        path: `${folder}/out/app.yaml`,
        namespace: "default",
        app: "web",
        profile: "default",
        key: "app.yaml",
        mode: 0o600,
      },
    ],
  });
});

test("a folder that is not there is an empty one", async () => {
  expect(await readDefinitions("/nowhere/at/all", DEFAULTS)).toEqual({ services: [], files: [] });
});

test.for([
  ["services:\n  - name: web\n    prot: 80\n", `web.yaml:2: /services/0/port: "port" is missing; add it.`],
  [
    "services:\n  - name: web\n    port: 80\n    tag: [a]\n",
    `web.yaml:4: /services/0/tag: "tag" is not a known field; remove it or correct its name.`,
  ],
  ["services:\n  - name: web\n    port: http\n", `web.yaml:3: /services/0/port: must be integer, not "http".`],
  [
    "services:\n  - name: web\n    port: 80\n    session: mine\n",
    `web.yaml:4: /services/0/session: "session" is not a known field; remove it or correct its name.`,
  ],
  [
    "services:\n  - name: web\n    port: 80\n    checks:\n      - { id: up, type: http, path: /up, every: 3 }\n",
    `web.yaml:5: /services/0/checks/0/every: "every" is not a known field; remove it or correct its name.`,
  ],
  [
    "services:\n  - name: web\n    port: 80\n    checks:\n      - id: up\n        type: smell\n",
    `web.yaml:6: /services/0/checks/0/type: must be one of ttl, http, tcp, udp, grpc, exec, process, alias.`,
  ],
  [
    "services:\n  - name: web\n    port: 80\n    checks:\n      - { id: up, type: ttl, ttlSeconds: 0 }\n",
    "web.yaml:5: /services/0/checks/0/ttlSeconds: must be >= 1, not 0.",
  ],
  [
    "files:\n  - app: web\n    key: a\n    path: a\n    mode: 0640\n",
    "web.yaml:5: /files/0/mode: must be string, not 640.",
  ],
  ["files:\n  - app: web\n    path: a\n", `web.yaml:2: /files/0: a file needs either "key" or "template".`],
  [
    "file: { app: web, path: a, template: { escape: none } }\n",
    `web.yaml:1: /file/template: a template needs either "path", a file of this host, or "key", a key of the set.`,
  ],
  [
    "file:\n  app: web\n  key: a\n  path: a\n  check: { command: [nginx, -t, '{path}'] }\n",
    "web.yaml:5: /file/check/command/0: the program must be an absolute path.",
  ],
  [
    "file: { app: web, key: a, path: a, check: { command: [/bin/true] } }\n",
    "web.yaml:1: /file/check/command: no argument contains {path}, so the program would not read the new file; add it.",
  ],
  [
    "file: { app: web, key: a, path: a, reload: { type: signal } }\n",
    `web.yaml:1: /file/reload/pidFile: type signal needs "pidFile".`,
  ],
  [
    "file:\n  app: web\n  key: a\n  path: a\n  reload:\n    type: http\n    url: http://10.0.0.1/-/reload\n",
    `web.yaml:7: /file/reload/url: 10.0.0.1 is not this host; set "allowRemote: true" if that is intended.`,
  ],
  [
    "file: { app: web, key: a, path: a, reload: { type: http, url: 'http://a..b/', allowRemote: true } }\n",
    `web.yaml:1: /file/reload/url: ${noAddress("a..b")}.`,
  ],
  ["service:\n  name: web\n  port: 1\n  address: a..b\n", `web.yaml:4: /service/address: ${noAddress("a..b")}.`],
  [
    "services:\n  - { name: web, port: 1, checks: [{ id: x, type: tcp, host: 'db:80' }] }\n",
    `web.yaml:2: /services/0/checks/0/host: ${noAddress("db:80")}.`,
  ],
  [
    "file: { app: web, key: a, path: a, reload: { type: command, command: [/bin/true], signal: HUP } }\n",
    `web.yaml:1: /file/reload/signal: type command does not use "signal"; remove it.`,
  ],
  ["sevices: []\n", `web.yaml:1: /sevices: "sevices" is not a known field; remove it or correct its name.`],
  ["- a\n- b\n", `web.yaml:1: the file: must be object, not ["a","b"].`],
] as const)("%j is refused with its line, field and way out", async ([text, message]) => {
  expect(await errorOf(text)).toBe(message);
});

test("text that is not YAML is refused with line and column", async () => {
  expect(await errorOf("services:\n  - name: [web\n")).toMatch(/^web\.yaml:\d+:\d+: /);
  expect(await errorOf(`{ "services": [ }`, "web.json")).toMatch(/^web\.json:1:\d+: /);
});

test("a key said twice is refused, since one of the two would be lost", async () => {
  expect(await errorOf("service:\n  name: web\n  port: 1\n  port: 2\n")).toMatch(/^web\.yaml:4:3: .*unique/);
});

test("an id taken twice is refused, also across files", async () => {
  const { definitions } = await read({
    "a.yaml": "service: { name: web, port: 80 }",
    "b.yaml": "service: { name: other, port: 80, id: host-a-web-80 }",
  });
  expect((definitions as Error).message).toMatch(
    /b\.yaml:1: \/service: another service of this host already has the id "host-a-web-80"/,
  );
});

test("two checks of one id and two entries for one path are refused", async () => {
  const checks = "checks: [{ id: a, type: ttl, ttlSeconds: 1 }, { id: a, type: http }]";
  expect(await errorOf(`service: { name: web, port: 80, ${checks} }`)).toMatch(
    /\/service\/checks\/1\/id: another check/,
  );
  const file = "{ app: web, key: a, path: ./x }";
  expect(await errorOf(`files: [${file}, ${file.replace("./x", "x")}]`)).toMatch(/\/files\/1\/path: .*already/);
});

test("a bomb of aliases is refused, not unfolded", async () => {
  const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(12)}]`).join("\n");
  expect(await errorOf(`l0: &l0 [x]\n${levels}\n`)).toMatch(/alias/i);
});

test("a file too large to have been written by a person is refused unread", async () => {
  expect(await errorOf(`#${"x".repeat(1024 * 1024)}\n`)).toMatch(/the maximum is 1048576/);
});
