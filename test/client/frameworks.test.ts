/** The plugins of Fastify, Express and NestJS in the real frameworks: registered, healthy, drained, and with the client at hand. */
import "reflect-metadata";
import type { AddressInfo } from "node:net";
import { Controller, Get, Module, type INestApplication } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import express from "express";
import fastify from "fastify";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { posthouse as expressPosthouse } from "../../client/frameworks/express.ts";
import { posthouse as fastifyPosthouse } from "../../client/frameworks/fastify.ts";
import type { HostedServiceOptions } from "../../client/frameworks/hosted-service.ts";
import { InjectPosthouse, PosthouseModule } from "../../client/frameworks/nestjs.ts";
import type { Posthouse } from "../../client/connect.ts";
import { callsLab, type CallsLab } from "./calls-kit.ts";
import { SILENT } from "./kit.ts";

/** A service in a framework, with the route `/` that calls the service `backend`. */
interface Hosted {
  readonly port: number;
  close(): Promise<unknown>;
}

type Start = (options: HostedServiceOptions) => Promise<Hosted>;

const CALL = "http://backend.service/";

async function inFastify(options: HostedServiceOptions): Promise<Hosted> {
  const app = fastify({ return503OnClosing: false });
  await app.register(fastifyPosthouse, options);
  app.get("/", async () => (await app.posthouse.fetch(CALL)).text());
  await app.listen({ host: "127.0.0.1", port: 0 });
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
}

async function inExpress(options: HostedServiceOptions): Promise<Hosted> {
  const app = express();
  const service = expressPosthouse(options);
  app.use(service);
  app.get("/", (request, response, next) => {
    const { posthouse } = request.app.locals as { posthouse: Posthouse };
    const text = posthouse.fetch(CALL).then((answer) => answer.text());
    text.then((sent) => response.send(sent), next);
  });
  const server = await service.listen(app, 0, "127.0.0.1");
  return { port: (server.address() as AddressInfo).port, close: () => service.close() };
}

async function nest(module: object): Promise<Hosted> {
  const app: INestApplication = await NestFactory.create(module as never, { logger: false });
  await app.listen(0, "127.0.0.1");
  return { port: (app.getHttpServer() as { address(): AddressInfo }).address().port, close: () => app.close() };
}

function nestModule(imported: object): object {
  class Home {
    readonly posthouse: Posthouse;
    constructor(posthouse: Posthouse) {
      this.posthouse = posthouse;
    }
    async home(): Promise<string> {
      return (await this.posthouse.fetch(CALL)).text();
    }
  }
  InjectPosthouse()(Home, undefined as never, 0);
  Get()(Home.prototype, "home", Object.getOwnPropertyDescriptor(Home.prototype, "home") as never);
  Controller()(Home);
  class App {
    readonly name = "web";
  }
  Module({ imports: [imported as never], controllers: [Home] })(App);
  return App;
}

const FRAMEWORKS: Readonly<Record<string, Start>> = {
  fastify: inFastify,
  express: inExpress,
  "nestjs, forRoot": (options) => nest(nestModule(PosthouseModule.forRoot(options))),
  "nestjs, forRootAsync": (options) =>
    nest(nestModule(PosthouseModule.forRootAsync({ useFactory: async () => options }))),
};

async function optionsFor(calls: CallsLab, rest: Partial<HostedServiceOptions> = {}): Promise<HostedServiceOptions> {
  const { lab } = calls;
  return { service: "web", url: lab.wire.url, token: lab.control.token, log: SILENT, ...rest };
}

test.each(Object.entries(FRAMEWORKS))(
  "%s: registered, healthy, traced, drained",
  { timeout: 120_000 },
  async (_, start) => {
    await using calls = await callsLab();
    const backend = await calls.instance("backend-1", { service: "backend" });
    const { registry } = calls.lab.control.client;
    const list = async () => (await registry.instances({ namespace: "default", service: "web" })).instances;
    let broken = false;
    const health = () => {
      if (broken) throw new Error("no database");
    };
    const hosted = await start(await optionsFor(calls, { health, register: { stopOn: false, ttlSeconds: 5 } }));
    const at = `http://127.0.0.1:${hosted.port}`;
    await eventually("it is registered", async () => (await list())[0]?.status === "passing");
    expect(await list()).toMatchObject([{ address: "127.0.0.1", port: hosted.port }]);
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    expect(await (await fetch(at, { headers: { traceparent } })).text()).toBe("backend-1");
    expect(backend.requests[0]?.headers["traceparent"]).toBe(traceparent);

    const healthz = async () => {
      const answer = await fetch(`${at}/healthz`);
      return { status: answer.status, body: await answer.json() };
    };
    expect(await healthz()).toEqual({ status: 200, body: { status: "passing", registration: "registered" } });
    broken = true;
    expect(await healthz()).toMatchObject({ status: 503, body: { status: "critical", reason: "no database" } });
    broken = false;

    const caller = calls.client();
    const failures: unknown[] = [];
    const over = new AbortController();
    const load = (async () => {
      while (!over.signal.aborted) {
        const outcome = await caller.fetch("http://web.service/", { method: "POST", body: "x" }).then(
          async (answer) => void (await answer.text()),
          ({ code }: { code: string }) => code,
        );
        // Once the instance is gone, the client says so.
        if (outcome === "CLIENT_SERVICE_NOT_FOUND" || outcome === "CLIENT_SERVICE_NO_ENDPOINT") return;
        if (outcome !== undefined) failures.push(outcome);
      }
    })();
    await hosted.close();
    if ((await list()).length > 0) over.abort();
    await load;
    expect([failures, await list()]).toEqual([[], []]);
  },
);

test("a service of its own name is registered by no one when register is false, and its client stays usable", async () => {
  await using calls = await callsLab();
  const posthouse = calls.client();
  const hosted = await inExpress(await optionsFor(calls, { client: posthouse, register: false, healthPath: false }));
  const answer = await fetch(`http://127.0.0.1:${hosted.port}/healthz`);
  expect(answer.status).toBe(404);
  await hosted.close();
  expect((await calls.lab.control.client.registry.services("default")).services).toEqual([]);
  await expect(posthouse.fetch("http://web.service/")).rejects.toMatchObject({ code: "CLIENT_SERVICE_NOT_FOUND" });
});
