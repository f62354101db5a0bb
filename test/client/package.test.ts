/**
 * The package as others get it: built, packed, unpacked beside the few packages that the client may need, imported by plain
 * JavaScript, compiled against by TypeScript, and run as the guide says.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeClientPackage } from "../../scripts/client-package.ts";
import {
  call,
  eventually,
  openShell,
  type Program,
  projectRoot,
  startCommand,
  startPosthouse,
  tempFolder,
} from "#test/kit";
import { FOR_FLAGS, FOR_TYPES, installPacked, packedProject, RUNTIME, type PackedProject } from "./packed.ts";

const run = promisify(execFile);
/** The frameworks of the plugins, for their types. */
const FRAMEWORKS = ["@nestjs/common", "@nestjs/core", "@types/express", "express", "fastify", "fastify-plugin", "rxjs"];

let project: PackedProject;
let guide: string;

beforeAll(async () => {
  project = await packedProject([...RUNTIME, ...FOR_FLAGS, ...FOR_TYPES, ...FRAMEWORKS]);
  guide = await readFile(join(projectRoot, "docs/guides/node-client.md"), "utf8");
  for (const [, name = "", code = ""] of guide.matchAll(/<!-- run: (\S+) -->\n```ts\n([^]*?)```/g))
    await writeFile(join(project.path, name), code);
}, 300_000);

afterAll(() => project?.[Symbol.asyncDispose]());

/** The compiler's errors in these and the guide's programs. */
async function compile(
  sources: Readonly<Record<string, string>>,
  resolution: { module: string; moduleResolution: string } = { module: "nodenext", moduleResolution: "nodenext" },
): Promise<string> {
  const options = {
    target: "esnext",
    ...resolution,
    lib: ["esnext"],
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    // The packed types are checked, but not those of the language.
    skipDefaultLibCheck: true,
  };
  for (const [name, text] of Object.entries(sources)) await writeFile(join(project.path, name), text);
  await writeFile(join(project.path, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  const tsc = join(projectRoot, "node_modules/typescript/bin/tsc");
  return run(process.execPath, [tsc, "-p", project.path, "--singleThreaded"]).then(
    () => "",
    (error: unknown) => (error as { stdout: string }).stdout,
  );
}

test("plain JavaScript imports posthouse/client, and nothing of the server comes with it", async () => {
  const code = `
    import { connect, Client, clientHost, fetchTransport } from "posthouse/client";
    await using posthouse = connect({ url: "http://127.0.0.1:1", app: "orders" });
    const transport = fetchTransport({ urls: ["http://127.0.0.1:1"] });
    const own = new Client(clientHost(), { transport });
    console.log(typeof posthouse.config.get, own instanceof Client, posthouse.client instanceof Client);
    await transport[Symbol.asyncDispose]();
  `;
  await writeFile(join(project.path, "plain.mjs"), code);
  const { stdout } = await run(process.execPath, [join(project.path, "plain.mjs")]);
  expect(stdout).toBe("function true true\n");
});

test("posthouse-client is a package of its own with only these few dependencies", async () => {
  const target = join(project.path, "node_modules", "posthouse-client");
  const packages = writeClientPackage(projectRoot, join(project.path, "source", "dist"), target);
  expect(packages).toEqual(expect.arrayContaining(RUNTIME));
  expect(packages.filter((name) => !RUNTIME.includes(name) && !FOR_TYPES.includes(name))).toEqual(FOR_FLAGS);
  const code = `
    import { connect } from "posthouse-client/client";
    await using posthouse = connect({ url: "http://127.0.0.1:1", app: "orders" });
    const names = ["openfeature", "fastify", "express", "nestjs"];
    const plugins = await Promise.all(names.map((name) => import("posthouse-client/" + name)));
    console.log(typeof posthouse.config.get, plugins.length);
  `;
  await writeFile(join(project.path, "own.mjs"), code);
  const { stdout } = await run(process.execPath, [join(project.path, "own.mjs")]);
  expect(stdout).toBe("function 4\n");
});

test("an empty project with the package starts everything by npx posthouse up", async () => {
  await using empty = await tempFolder();
  await installPacked(project.archive, empty.path);
  const ports = ["port", "gateway-port", "gateway-tls-port", "agent-port", "dns-port", "operations-port"];
  // In a shell with a process group of its own: npx does not pass signals on to the server.
  await using shell = openShell({ cwd: empty.path });
  const flags = ports.map((name) => `--${name} 0`).join(" ");
  await shell.paste(`npx --offline posthouse up --data data ${flags} > up.log 2>&1 &`);
  const found = (pattern: RegExp) =>
    eventually("it is up", async () => pattern.exec(await readFile(join(empty.path, "up.log"), "utf8"))?.[1]);
  const api = await found(/control API +(\S+)/);
  const token = await found(/^ {2}(ph_\S+)$/m);
  expect((await call(`${api}/v1/services`, { token })).status).toBe(200);
});

test("modules that the package does not export cannot be imported", async () => {
  await writeFile(join(project.path, "inner.mjs"), 'await import("posthouse/dist/server/mod.js");');
  await expect(run(process.execPath, [join(project.path, "inner.mjs")])).rejects.toMatchObject({
    stderr: expect.stringContaining("ERR_PACKAGE_PATH_NOT_EXPORTED") as string,
  });
});

test("TypeScript infers values from schemas against the packed types, and finds a wrong use", async () => {
  const right = `
    import { connect, type Change } from "posthouse/client";
    import { z } from "zod";
    const posthouse = connect({ url: ["http://a:1", "http://b:1"], token: () => process.env["T"], app: "orders" });
    const schema = z.object({ n: z.number() });
    export const n: number = (await posthouse.config.get("a.json", { schema })).n;
    export const maybe: { n: number } | null = await posthouse.config.get("a.json", { schema, default: null });
    for await (const change of posthouse.config.watch("a.json", { schema })) {
      const typed: Change<{ n: number }> = change;
      typed.applied();
    }
  `;
  const wrong = right.replace("n: number =", "n: string =");
  const problems = (await compile({ "use.ts": right, "wrong.ts": wrong })).split("\n").filter((line) => line !== "");
  expect(problems).toEqual([expect.stringMatching(/wrong\.ts\(6,\d+\): error TS2322/)]);
}, 300_000);

test("the types of every export work with both ways of resolution", async () => {
  const plugins = `
    import express from "express";
    import fastify from "fastify";
    import { connect, type Posthouse, type ServiceRegistration } from "posthouse/client";
    import expressPosthouse from "posthouse/express";
    import fastifyPosthouse from "posthouse/fastify";
    import { PosthouseModule } from "posthouse/nestjs";
    const app = fastify();
    await app.register(fastifyPosthouse, { service: "orders", health: () => {} });
    const client: Posthouse = app.posthouse;
    const answer: Response = await client.fetch("http://orders.service/", { deadlineMs: 100 });
    const service = expressPosthouse({ client });
    await service.listen(express().use(service), 0);
    export const registration: ServiceRegistration = await connect().register({ port: 1, checks: [{ type: "ttl" }] });
    export const module = [PosthouseModule.forRoot({ service: "a" }), answer.status, await client.flags.boolean("a", false)];
  `;
  const wrong = plugins.replace("deadlineMs: 100", 'deadlineMs: "100"');
  for (const resolution of [
    { module: "nodenext", moduleResolution: "nodenext" },
    { module: "esnext", moduleResolution: "bundler" },
  ]) {
    const problems = (await compile({ "use.ts": plugins, "wrong.ts": wrong }, resolution)).split("\n").filter(Boolean);
    expect(problems).toEqual([expect.stringMatching(/wrong\.ts\(11,\d+\): error TS2322/)]);
  }
}, 300_000);

test("the guide's programs do what the guide says", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--store", "memory"] });
  const { api, token = "" } = posthouse;
  const put = async (value: string) => {
    const answer = await fetch(`${api}/v1/config/default/orders/default/keys/db.yaml`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: value,
    });
    expect(answer.status).toBe(201);
  };
  await put("url: postgres://db\npool: 5\n");
  const environment = { CONTROL_URL: api, TOKEN: token };
  await using read = startCommand(process.execPath, ["read.ts"], { cwd: project.path, environment });
  expect(await read.exited, read.errors()).toMatchObject({ code: 0 });
  expect(read.output()).toBe(/```text\n([^]*?)```/.exec(guide)?.[1]);

  await using watch = startCommand(process.execPath, ["watch.ts"], { cwd: project.path, environment });
  const says = (text: string, of = watch.output) => eventually(text, () => of().includes(text));
  await says("the pool has 5 connections");
  await put("url: postgres://db\npool: 7\n");
  await says("the pool has 7 connections");
  const list = () => call(`${api}/v1/config/default/orders/default/acknowledgements`, { token });
  await eventually("applied", async () => (await list()).json["applied"] === 1);
  await put("url: postgres://db\npool: 900\n");
  await eventually("failed", async () => /takes 100 connections/.test((await list()).text));
  await put("url: postgres://db\npool: 0\n");
  await says("CLIENT_VALUE_INVALID", watch.errors);
  watch.kill("SIGTERM");
  expect(await watch.exited, watch.errors()).toMatchObject({ code: 0 });
}, 300_000);

test("the guide's programs register a service, see it come and go, and lead one after the other", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path, args: ["--store", "memory"] });
  const environment = { CONTROL_URL: posthouse.api, TOKEN: posthouse.token ?? "" };
  const start = (name: string) => startCommand(process.execPath, [name], { cwd: project.path, environment });
  const says = (program: Program, text: string) =>
    eventually(`${text}, not ${program.output()}${program.errors()}`, () => program.output().endsWith(`${text}\n`));

  await using services = start("services.ts");
  await says(services, "orders: none");
  await using register = start("register.ts");
  await says(register, "orders-1 is registered");
  await says(services, "orders: 127.0.0.1:4001");
  await using caller = start("call.ts");
  expect(await caller.exited, caller.errors()).toMatchObject({ code: 0 });
  expect(caller.output()).toBe("an order\n200\n");
  register.kill("SIGTERM");
  expect(await register.exited, register.errors()).toEqual({ code: null, signal: "SIGTERM" });
  await says(services, "orders: none");
  services.kill("SIGTERM");
  expect(await services.exited, services.errors()).toMatchObject({ code: 0 });

  await using first = start("lead.ts");
  await eventually("the first leads", () => first.output().includes("leads with token"));
  await using second = start("lead.ts");
  first.kill("SIGTERM");
  expect(await first.exited, first.errors()).toMatchObject({ code: 0 });
  expect(first.output()).toMatch(/steps down\n$/);
  await eventually("the second leads", () => second.output().includes("leads with token"));
  second.kill("SIGTERM");
  expect(await second.exited, second.errors()).toMatchObject({ code: 0 });
}, 300_000);
