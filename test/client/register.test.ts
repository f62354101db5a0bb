/** `register`: a service is in the catalog for as long as it serves, and a rolling restart loses no request. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { eventually, freePort, hangSignal, startProgram, type Program } from "#test/kit";
import type { Posthouse } from "../../client/connect.ts";
import { callsLab, type CallsLab } from "./calls-kit.ts";
import { lab } from "./kit.ts";

const ORDERS = { namespace: "default", service: "orders" };

async function listening() {
  const server = createServer((_, answer) => answer.end("served"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { server, port, [Symbol.asyncDispose]: async () => server.closeAllConnections() };
}

test("a registration has the server's address, reports its health, and is gone after close with the server", async () => {
  await using calls = await lab();
  const { registry } = calls.control.client;
  const { posthouse } = calls.service();
  await using http = await listening();
  let broken = false;
  const probe = () => {
    if (broken) throw new Error("the database is away");
  };
  const registration = await posthouse.register({
    server: http.server,
    zone: "eu",
    metadata: { tier: "1" },
    checks: [{ type: "ttl", ttlSeconds: 1, probe }],
    stopOn: false,
  });
  expect(registration.name).toEqual({ ...ORDERS, id: "orders-1" });
  const find = async () => (await registry.instances(ORDERS)).instances;
  expect(await find()).toMatchObject([
    { id: "orders-1", address: "127.0.0.1", port: http.port, zone: "eu", status: "passing", metadata: { tier: "1" } },
  ]);
  broken = true;
  // On a busy machine a report can come too late. The check is then critical without an output, until the next report.
  await eventually("the check is critical, and says why", async () => {
    const { checks } = await registry.health({ ...ORDERS, id: "orders-1" });
    return checks[0]?.status === "critical" && checks[0].output === "the database is away";
  });
  broken = false;
  await eventually("the check passes", async () => (await find())[0]?.status === "passing");
  await Promise.all([registration.close(), registration.close()]);
  expect([registration.state, await find(), http.server.listening]).toEqual(["closed", [], false]);
});

test("a service starts while no server answers, and is registered as soon as one does", async () => {
  await using calls = await lab();
  calls.wire.cut();
  const { posthouse, problems } = calls.service();
  const registration = await posthouse.register({ address: "127.0.0.1", port: 4001, stopOn: false });
  expect(registration.state).toBe("pending");
  expect(problems.map(({ code }) => code)).toContain("CLIENT_NOT_REGISTERED_YET");
  calls.wire.mend();
  await eventually("it is registered", () => registration.state === "registered");
  const { instances } = await calls.control.client.registry.instances(ORDERS);
  expect(instances.map(({ id }) => id)).toEqual(["orders-1"]);
});

test("a server that forgot the session gets the registration again, and a rejection is thrown", async () => {
  await using calls = await lab();
  const { registry } = calls.control.client;
  const { posthouse } = calls.service();
  await posthouse.register({ address: "127.0.0.1", port: 4001, ttlSeconds: 2, stopOn: false });
  const sessionOf = async () => (await registry.instances(ORDERS)).instances[0]?.session;
  const first = (await sessionOf()) ?? "";
  await registry.closeSession(first);
  await eventually("it is registered again", async () => ![undefined, first].includes(await sessionOf()));
  const stranger = calls.service({ token: "ph_wrong" }).posthouse;
  await expect(stranger.register({ port: 4002, stopOn: false })).rejects.toMatchObject({ status: 401 });
  await expect(posthouse.register({ stopOn: false })).rejects.toMatchObject({
    code: "CLIENT_OPTION_INVALID",
    extra: { field: "port" },
  });
});

test("the drain of an old process does not touch a newer one with the same id", async () => {
  await using calls = await lab();
  const { registry } = calls.control.client;
  const old = await calls.service().posthouse.register({ address: "127.0.0.1", port: 4001, stopOn: false });
  await calls.service().posthouse.register({ address: "127.0.0.1", port: 4002, stopOn: false });
  await old.close();
  const { instances } = await registry.instances(ORDERS);
  expect(instances).toMatchObject([{ id: "orders-1", port: 4002, lifecycle: "serving" }]);
});

test("a drain that a subscriber does not see ends in time, and names the subscriber", async () => {
  await using calls = await lab();
  const stop = new AbortController();
  const stuck = calls.control.client.registry.watch(ORDERS, { signal: stop.signal });
  const { posthouse, problems } = calls.service();
  const path = `${calls.url}/v1/watch/services?namespace=default&subscriber=stuck`;
  const answer = await fetch(path, {
    headers: { authorization: `Bearer ${calls.control.token}` },
    signal: stop.signal,
  });
  const registration = await posthouse.register({ address: "127.0.0.1", port: 4001, drainSeconds: 1, stopOn: false });
  expect(await registration.drain()).toMatchObject({ seen: false, waitingFor: [expect.stringContaining("stuck")] });
  expect(problems.map(({ code }) => code)).toContain("CLIENT_DRAIN_NOT_SEEN");
  stop.abort();
  await answer.body?.cancel().catch(() => {});
  await stuck.return(undefined);
});

/** Calls without a pause until it is stopped; the outcomes that were not 200. */
function load(posthouse: Posthouse, atOnce: number) {
  const stopped = new AbortController();
  const failures: string[] = [];
  const servedBy = new Map<number, number>();
  let sent = 0;
  const worker = async () => {
    while (!stopped.signal.aborted) {
      // A POST is never sent twice, so no retry hides a request that was cut.
      const method = sent++ % 2 === 0 ? "POST" : "GET";
      const init = { method, ...(method === "POST" ? { body: "x" } : {}), signal: hangSignal() };
      try {
        const answer = await posthouse.fetch("http://orders.service/", init);
        const pid = Number(await answer.text());
        servedBy.set(pid, (servedBy.get(pid) ?? 0) + 1);
        if (answer.status !== 200) failures.push(`${method} ${answer.status}`);
      } catch (error) {
        failures.push(`${method} ${String((error as { code?: unknown }).code)} ${String(error)}`);
      }
    }
  };
  const workers = Array.from({ length: atOnce }, worker);
  return {
    sent: () => sent,
    servedBy,
    async stop() {
      stopped.abort();
      await Promise.all(workers);
      return failures;
    },
  };
}

async function startServing(calls: CallsLab, id: string, port = 0): Promise<Program> {
  const { url, control } = calls.lab;
  const environment = {
    POSTHOUSE_CONTROL_URLS: url,
    POSTHOUSE_TOKEN: control.token,
    POSTHOUSE_INSTANCE: id,
    PORT: String(port),
  };
  const program = startProgram("test/client/serving-program.ts", [], { environment });
  await eventually(`${id} is registered: ${program.errors()}`, () => program.output().includes(`registered ${id}`));
  return program;
}

test("a rolling restart of three processes under load loses no request, and each ends by its signal", async () => {
  await using calls = await callsLab();
  await using stack = new AsyncDisposableStack();
  const programs = await Promise.all(["a", "b", "c"].map((id) => startServing(calls, id)));
  for (const program of programs) stack.use(program);
  const traffic = load(calls.client(), 8);
  for (const [index, id] of ["a", "b", "c"].entries()) {
    const before = traffic.sent();
    await eventually("requests go on", () => traffic.sent() > before + 50);
    programs[index]?.kill("SIGTERM");
    expect(await programs[index]?.exited, programs[index]?.errors()).toEqual({ code: null, signal: "SIGTERM" });
    programs[index] = stack.use(await startServing(calls, id));
    const { pid } = programs[index].child;
    await eventually("the new one serves", () => traffic.servedBy.has(pid as number));
  }
  expect(await traffic.stop()).toEqual([]);
  expect(traffic.sent()).toBeGreaterThan(150);
});

test("a killed process leaves the catalog after its time to live, and its successor at the same port replaces it", async () => {
  await using calls = await callsLab();
  const { registry } = calls.lab.control.client;
  const list = async () => (await registry.instances(ORDERS)).instances;
  const port = await freePort();
  await using first = await startServing(calls, "a", port);
  first.kill("SIGKILL");
  await first.exited;
  await using second = await startServing(calls, "a", port);
  expect((await list()).map(({ id }) => id)).toEqual(["a"]);
  second.kill("SIGKILL");
  await second.exited;
  await eventually("it has left", async () => (await list()).length === 0);
});
