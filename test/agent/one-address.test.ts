/** A service whose only address is its agent: the real Node client, with no token of the control plane, while members and the agent go. */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { createAgent, type AgentSettings } from "#agent";
import { Client, fetchTransport } from "#client";
import { eventually, hangSignal, tempFolder, testHost, withControl, type TestControl } from "#test/kit";
import type { Instance } from "#registry/api";
import { cuttableWire, service, type TestService } from "../client/kit.ts";
import { settingsIn } from "./agent-kit.ts";

const SET = { namespace: "default", app: "orders", profile: "default" };

/** Two members over one store, each behind a wire that can be cut, and an agent that knows both. */
async function twoMembers(stack: AsyncDisposableStack) {
  const first = stack.use(await withControl());
  const second = stack.use(await withControl({ store: first.store }));
  const wires = [];
  for (const member of [first, second]) {
    wires.push(stack.use(await cuttableWire(await member.app.listen({ host: "127.0.0.1", port: 0 }))));
  }
  const { token } = await first.access.tokens.issue({ name: "host-a", policies: ["agent"], apps: ["orders"] }, "test");
  return { first, wires, token };
}

async function startAgent(settings: AgentSettings, { urls, token }: { urls: readonly string[]; token: string }) {
  const stack = new AsyncDisposableStack();
  const transport = stack.use(fetchTransport({ urls }));
  const client = new Client(testHost(), { transport, token });
  const running = stack.use(await createAgent(testHost(), { client, way: { transport, token }, settings }));
  const { port, socket = "" } = await running.listen();
  return { port, socket, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const NOBODY: { readonly instances: readonly Instance[] } = { instances: [] };
const instanceOf = async ({ client }: TestControl) =>
  (await client.registry.instances({ namespace: "default", service: "orders" }).catch(() => NOBODY)).instances[0];

test("a service with its agent as the one address registers, follows, locks and reads flags, whatever restarts", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const { first, wires, token } = await twoMembers(stack);
  const urls = wires.map(({ url }) => url);
  const publish = (value: string) =>
    first.client.config.publish(SET, {
      items: { motd: { format: "text", value }, "flags.yaml": { format: "yaml", value: FLAGS } },
    });
  await publish("one");
  const access = [{ name: "orders", apps: ["orders"], services: ["orders"] }];
  const settings = await settingsIn(folder.path, { access });
  let agent = await startAgent(settings, { urls, token });
  stack.defer(() => agent[Symbol.asyncDispose]());
  const local = (await readFile(join(settings.dataDir, "tokens", "orders"), "utf8")).trim();

  const byPort = stack.use(service(`http://127.0.0.1:${agent.port}`, { token: local }));
  const bySocket = stack.use(service(`unix:${agent.socket}`, { instance: "orders-2" }));
  const seen = [follow(byPort), follow(bySocket)];
  await eventually("both have the config", () => seen.every(({ value }) => value === "one"));
  expect(await bySocket.posthouse.flags.boolean("checkout", false)).toBe(true);
  const registration = await byPort.posthouse.register({ port: 4001 });
  await eventually("it is registered", async () => (await instanceOf(first))?.port === 4001);
  const id = (await instanceOf(first))?.id;
  const lock = await byPort.posthouse.locks.hold("leader", { signal: hangSignal() });
  expect(lock.signal.aborted).toBe(false);

  // The member that the agent uses goes away: reads move on, and the watches, too.
  wires[0]?.cut();
  await publish("two");
  await eventually("both see it", () => seen.every(({ value }) => value === "two"));
  wires[0]?.mend();

  // The agent restarts at the same place: the client connects again, as the same principal.
  await agent[Symbol.asyncDispose]();
  agent = await startAgent({ ...settings, port: agent.port }, { urls, token });
  await publish("three");
  await eventually("both see it again", () => seen.every(({ value }) => value === "three"));
  expect((await instanceOf(first))?.id).toBe(id);
  expect(lock.signal.aborted).toBe(false);
  await lock.release();
  await registration.close();
  await eventually("it left", async () => (await instanceOf(first)) === undefined);
});

const FLAGS = "flags: { checkout: { variants: { on: true, off: false }, defaultVariant: on } }";

/** The latest value that a service has. */
function follow({ posthouse }: TestService): { value: string } {
  const seen = { value: "" };
  void (async () => {
    for await (const { value } of posthouse.config.watch("motd")) seen.value = String(value);
  })();
  return seen;
}
