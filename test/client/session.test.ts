/** A session that a client keeps: what is registered under it lives as long as the process, and comes back after a lapse. */
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { lab } from "./kit.ts";

const HORSES = { namespace: "default", service: "horses" };
const nameOf = (id: string) => ({ ...HORSES, id });
/** Long enough for a client that gets little of the CPU. */
const SESSION_SECONDS = 6;
const registration = { address: "127.0.0.1", port: 4001 };

async function stable() {
  const one = await lab();
  const { registry } = one.control.client;
  const ids = async () => {
    const { services } = await registry.services("default");
    if (services.every(({ service }) => service !== "horses")) return [];
    return (await registry.instances(HORSES)).instances.map(({ id }) => id).toSorted();
  };
  return { ...one, registry, ids };
}

test("a session is kept beyond its time, and what is registered under it goes when the client is closed", async () => {
  await using there = await stable();
  const { posthouse } = there.service();
  const { registry } = posthouse.client;
  const session = await posthouse.session({
    ttlSeconds: SESSION_SECONDS,
    onOpen: (id) => registry.register(nameOf("kept"), { ...registration, session: id }),
  });
  const first = session.id;
  // A session of the same length without heartbeats, opened later: when it has lapsed, the first has outlived its time.
  const { id } = await there.registry.openSession(SESSION_SECONDS);
  await there.registry.register(nameOf("left"), { ...registration, session: id });
  await eventually("lapsed", async () => !(await there.ids()).includes("left"));
  expect(await there.ids()).toEqual(["kept"]);
  expect(session.id).toBe(first);
  await posthouse.close();
  expect(await there.ids()).toEqual([]);
  await expect(posthouse.session()).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
});

test("a session that ended is replaced, and onOpen registers its instances again, until it succeeds", async () => {
  await using there = await stable();
  const { posthouse } = there.service();
  let opened = 0;
  await using session = await posthouse.session({
    ttlSeconds: SESSION_SECONDS,
    onOpen: async (id) => {
      opened++;
      if (opened === 2) throw new Error("not yet");
      await posthouse.client.registry.register(nameOf("kept"), { ...registration, session: id });
    },
  });
  const first = session.id;
  await there.registry.closeSession(first);
  expect(await there.ids()).toEqual([]);
  await eventually("registered again", async () => (await there.ids()).includes("kept"));
  await eventually("another id", () => session.id !== first);
  expect(opened).toBe(3);
  await session.close();
  expect(await there.ids()).toEqual([]);
});

test("the first session waits for a server, and no longer than its signal", async () => {
  await using there = await stable();
  const { posthouse } = there.service();
  there.wire.cut();
  const stop = new AbortController();
  const given = posthouse.session({ signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(given).rejects.toThrow("enough");
  const waiting = posthouse.session();
  there.wire.mend();
  await using session = await waiting;
  await there.registry.heartbeat(session.id);
});

test("a refusal and a failing onOpen are thrown, and leave no session", async () => {
  await using there = await stable();
  const refused = there.service({ token: "ph_none" }).posthouse;
  await expect(refused.session()).rejects.toMatchObject({ status: 401 });
  const { posthouse } = there.service();
  let id = "";
  const onOpen = (session: string) => {
    id = session;
    return Promise.reject(new Error("the port is taken"));
  };
  await expect(posthouse.session({ onOpen })).rejects.toThrow("the port is taken");
  await expect(there.registry.heartbeat(id)).rejects.toMatchObject({ code: "REGISTRY_SESSION_NOT_FOUND" });
});
