/** The identity of an agent over time: renewed at half its life, through absences of either side, and replaced by a new join. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually } from "#test/kit";
import { WallClock } from "../identity/kit.ts";
import { HOUR_MS, newHost, startPlane, type JoinedHost } from "./joined-kit.ts";

interface Status {
  readonly connected: boolean;
  readonly identity: { readonly serial: string; readonly expiresAt: string; readonly code?: string };
  readonly problems: readonly { readonly code: string; readonly detail: string }[];
}

const statusOf = async (host: JoinedHost) => (await host.call<Status>("GET", "/v1/agent/status")).body;
const serialOf = async (host: JoinedHost) => (await statusOf(host)).identity.serial;

async function joined() {
  const stack = new AsyncDisposableStack();
  const plane = stack.use(await startPlane(new WallClock(Date.now() - 14 * HOUR_MS)));
  // One clock for both: they are set to the same time.
  const host = stack.use(await newHost(plane.clock));
  await host.join(plane, await plane.joinToken({ apps: ["orders"], services: ["orders"] }));
  await host.start();
  await host.call("PUT", "/v1/agent/services/one", { name: "orders", port: 4001 });
  await eventually("it is connected", async () => (await statusOf(host)).connected);
  return { stack, plane, host };
}

test("a certificate is renewed at half its life, is on disk, and survives a restart", async () => {
  const { stack, plane, host } = await joined();
  await using _ = stack;
  const first = await serialOf(host);
  plane.clock.move(10 * HOUR_MS);
  await host.stop();
  await host.start();
  expect(await serialOf(host)).toBe(first);
  plane.clock.move(4 * HOUR_MS);
  await host.stop();
  await host.start();
  const second = await eventually("it is renewed", async () => {
    const serial = await serialOf(host);
    return serial !== first && serial;
  });
  expect((await statusOf(host)).problems).toEqual([]);
  await host.stop();
  await host.start();
  expect(await serialOf(host)).toBe(second);
  expect((await host.call("GET", "/v1/services?namespace=default")).status).toBe(200);
});

test("while the control plane is away, the agent keeps trying, says when its certificate ends, and recovers", async () => {
  const { stack, plane, host } = await joined();
  await using _ = stack;
  await plane.stop();
  plane.clock.move(13.5 * HOUR_MS);
  await host.stop();
  await host.start();
  const before = await eventually("it says so", async () => {
    const { problems } = await statusOf(host);
    return problems.find(({ detail }) => detail.includes("was not renewed"));
  });
  expect(before.detail).toContain(`ends at ${(await statusOf(host)).identity.expiresAt}`);
  expect((await host.call("GET", "/v1/agent/services")).body).toMatchObject({ services: [{ id: "one" }] });
  plane.clock.move(24 * HOUR_MS);
  expect((await statusOf(host)).problems.map(({ code }) => code)).toContain("AGENT_CERTIFICATE_ENDED");
  // OpenSSL has the real clock, by which the certificate of a listener must be valid.
  plane.clock.move(-24 * HOUR_MS);
  await plane.restart();
  await eventually("it is valid again", async () => (await statusOf(host)).problems.length === 0);
  await eventually("its service is there again", async () => {
    const { status, body } = await host.call<{ instances?: unknown[] }>(
      "GET",
      "/v1/services/orders/instances?namespace=default",
    );
    return status === 200 && body.instances?.length === 1;
  });
});

test("after more than a week the agent must join again; until then its local API answers, and then it goes on by itself", async () => {
  const { stack, plane, host } = await joined();
  await using _ = stack;
  const key = await readFile(join(host.identity, "key.pem"), "utf8");
  plane.clock.move(10 * 24 * HOUR_MS);
  await host.stop();
  await host.start();
  const problem = await eventually("it says what to do", async () => {
    const { problems } = await statusOf(host);
    return problems.find(({ code, detail }) => code === "AGENT_CERTIFICATE_ENDED" && detail.includes("not renewed"));
  });
  expect(problem.detail).toContain("posthouse agent join");
  expect((await host.call("GET", "/v1/agent/services")).body).toMatchObject({ services: [{ id: "one" }] });
  await host.join(plane, await plane.joinToken({ name: "web-1", apps: ["orders"], services: ["orders"] }));
  await eventually("the agent that runs uses it", async () => {
    const { problems, connected } = await statusOf(host);
    return connected && problems.length === 0;
  });
  expect(await readFile(join(host.identity, "key.pem"), "utf8")).toBe(key);
});

test("a node that was removed is refused, and so are its service tokens", async () => {
  const { stack, plane, host } = await joined();
  await using _ = stack;
  expect((await host.call("GET", "/v1/me")).status).toBe(200);
  expect((await plane.call("DELETE", "/v1/nodes/agent/web-1")).status).toBe(204);
  await eventually("it is refused", async () => (await host.call("GET", "/v1/me")).status !== 200);
});
