/** Each example runs as its README says, against a real control plane and the package as others get it, and has its effect. */
import { cp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, eventually, freePort, projectRoot, startCommand, type Program } from "#test/kit";
import { itemsOf, lab, type Lab } from "./kit.ts";
import { FOR_FLAGS, FOR_TYPES, packedProject, RUNTIME, type PackedProject } from "./packed.ts";

const FRAMEWORKS = [
  "@nestjs/common",
  "@nestjs/core",
  "@nestjs/platform-express",
  "@openfeature/core",
  "@openfeature/server-sdk",
  "express",
  "fastify",
  "fastify-plugin",
  "reflect-metadata",
  "rxjs",
];

let project: PackedProject;
let control: Lab;

beforeAll(async () => {
  project = await packedProject([...RUNTIME, ...FOR_FLAGS, ...FOR_TYPES, ...FRAMEWORKS]);
  await cp(join(projectRoot, "examples"), join(project.path, "examples"), { recursive: true });
  control = await lab();
}, 300_000);

afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await project?.[Symbol.asyncDispose]();
});

function start(name: string, environment: Record<string, string> = {}): Program {
  return startCommand(process.execPath, ["main.ts"], {
    cwd: join(project.path, "examples", name),
    environment: {
      POSTHOUSE_CONTROL_URLS: control.url,
      POSTHOUSE_TOKEN: control.control.token,
      POSTHOUSE_ADDRESS: "127.0.0.1",
      ...environment,
    },
  });
}

const says = (program: Program, text: string) =>
  eventually(`${text}, not ${program.output()}${program.errors()}`, () => program.output().includes(text));

/** Ends it by SIGTERM; it must end without an error. */
async function stop(program: Program): Promise<void> {
  program.kill("SIGTERM");
  const { code, signal } = await program.exited;
  expect([code === 0 || signal === "SIGTERM", program.errors()]).toEqual([true, ""]);
}

/** By its service: the path, and what it answers. */
const SERVICES: Readonly<Record<string, { service: string; path: string; answers: string }>> = {
  "node-service": { service: "hello", path: "/self", answers: "by name: hello from" },
  fastify: { service: "prices", path: "/", answers: '{"price":42,"self":200}' },
  express: { service: "carts", path: "/", answers: '{"items":3,"self":200}' },
  nestjs: { service: "stock", path: "/", answers: '{"pieces":7,"self":200}' },
};

test.each(Object.entries(SERVICES))(
  "%s registers, answers, calls itself by name and leaves",
  async (name, expected) => {
    const port = await freePort();
    await using program = start(name, { PORT: String(port) });
    const { registry } = control.control.client;
    // A service that never had an instance is not known.
    const list = () =>
      registry.instances({ namespace: "default", service: expected.service }).then(
        ({ instances }) => instances,
        () => [],
      );
    await eventually(`it is registered: ${program.errors()}`, async () => (await list())[0]?.status === "passing");
    expect(await list()).toMatchObject([{ address: "127.0.0.1", port }]);
    expect((await call(`http://127.0.0.1:${port}${expected.path}`)).text).toContain(expected.answers);
    await stop(program);
    expect(await list()).toEqual([]);
  },
);

test("openfeature shows a flag and its change", async () => {
  const flags = await readFile(join(projectRoot, "examples/openfeature/flags.yaml"), "utf8");
  const publish = (text: string) =>
    control.control.client.config.publish(
      { namespace: "default", app: "shop", profile: "default" },
      { items: itemsOf({ "flags.yaml": text }) },
    );
  await publish(flags);
  await using program = start("openfeature");
  await says(program, "new-checkout is on");
  await publish(flags.replace("defaultVariant: on", "defaultVariant: off"));
  await says(program, "new-checkout is off");
  await stop(program);
});

test("config-watch follows releases, and says which it could not use", async () => {
  await control.release({ "db.yaml": "pool: 5\n" });
  await using program = start("config-watch");
  await says(program, "the pool has 5 connections");
  await control.release({ "db.yaml": "pool: 7\n" });
  await says(program, "the pool has 7 connections");
  await control.release({ "db.yaml": "pool: 700\n" });
  const set = { namespace: "default", app: "orders", profile: "default" };
  await eventually("it is acknowledged as failed", async () =>
    JSON.stringify(await control.control.client.config.acknowledgements(set)).includes("takes 100 connections"),
  );
  await stop(program);
});

test("leader-election has one leader, and then the other", async () => {
  await using first = start("leader-election");
  await says(first, "leads with token");
  await using second = start("leader-election");
  const waiting = async () =>
    (await control.control.client.locks.get({ namespace: "default", name: "billing/leader" })).waiting;
  await eventually("the second waits", async () => (await waiting()) === 1);
  expect(second.output()).toBe("");
  await stop(first);
  await says(second, "leads with token");
  await stop(second);
});

test("every example has a test, a README and its dependencies", async () => {
  const folders = (await readdir(join(projectRoot, "examples"), { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect(folders.sort()).toEqual([...Object.keys(SERVICES), "config-watch", "leader-election", "openfeature"].sort());
  const { devDependencies, dependencies } = JSON.parse(await readFile(join(projectRoot, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
    dependencies: Record<string, string>;
  };
  for (const name of folders) {
    const read = (file: string) => readFile(join(projectRoot, "examples", name, file), "utf8");
    expect(await read("README.md")).toMatch(/npm start/);
    const own = (JSON.parse(await read("package.json")) as { dependencies: Record<string, string> }).dependencies;
    const code = await read("main.ts");
    const imported = [...code.matchAll(/^import (?:.* from )?"([^"]+)";$/gm)]
      .map(([, specifier = ""]) => specifier)
      .filter((specifier) => !specifier.startsWith("node:"))
      .map((specifier) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/"));
    for (const one of imported) expect(own, `${name} imports ${one}`).toHaveProperty([one]);
    for (const [one, range] of Object.entries(own)) {
      const version = { ...dependencies, ...devDependencies }[one] ?? "0.1.0";
      expect([name, one, version.split(".")[0]]).toEqual([name, one, /\d+/.exec(range)?.[0]]);
    }
  }
});
