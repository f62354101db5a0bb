/** Two machines on two loopback addresses, joined over TLS: every certificate is replaced under load, and no request fails. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fetchTransport, type Transport } from "#client";
import type { AuthorityView } from "#identity/api";
import { authorizationOf } from "./agent-kit.ts";
import { eventually } from "#test/kit";
import { WallClock } from "../identity/kit.ts";
import { HOUR_MS, newHost, startPlane } from "./joined-kit.ts";

const OTHER_MACHINE = "127.0.0.2";
const FAILURES_SHOWN = 10;

/** Calls one after the other until it is stopped, and the failures among them. */
function load(call: (signal: AbortSignal) => Promise<{ readonly status: number; text(): Promise<string> }>) {
  const failures: string[] = [];
  const stopping = new AbortController();
  let count = 0;
  const running = (async () => {
    // A few failures say enough, and a call that fails at once would never let go of the processor.
    while (!stopping.signal.aborted && failures.length < FAILURES_SHOWN) {
      count++;
      try {
        const answer = await call(AbortSignal.timeout(30_000));
        const text = await answer.text();
        if (answer.status !== 200) failures.push(`${answer.status} ${text}`);
      } catch (error) {
        failures.push(String(error));
      }
    }
  })();
  return {
    failures,
    get count() {
      return count;
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

test("root, intermediate, the member's and the agent's certificate are replaced under load without a failed request", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = stack.use(await startPlane(new WallClock(Date.now() - 14 * HOUR_MS)));
  const host = stack.use(await newHost(new WallClock(plane.clock.now())));
  const bound = { apps: ["orders"], services: ["orders"], ips: [OTHER_MACHINE] };
  await host.join(plane, await plane.joinToken(bound));
  const server = await host.start({ agentHost: OTHER_MACHINE, tls: "on" });
  const agentUrl = server.addresses.agent ?? "";
  expect(agentUrl).toMatch(/^https:\/\/127\.0\.0\.2:/);

  const trusted = () => readFile(join(host.identity, "bundle.pem"), "utf8");
  const ca = await trusted();
  const overTls = stack.use(fetchTransport({ urls: [agentUrl], tls: { ca } }));
  const overSocket = stack.use(
    fetchTransport({ urls: ["http://localhost"], socketPath: join(host.data, "agent", "agent.sock") }),
  );
  const authorization = await authorizationOf({ dataDir: join(host.data, "agent"), token: undefined });
  const path = "/v1/services?namespace=default";
  const through = (transport: Transport, headers = {}) =>
    load((signal) => transport.request({ method: "GET", path, headers, signal }));
  /** With a new connection each time, which sees the certificate of that moment. */
  const afresh = (url: string, token: string) =>
    load(async (signal) => {
      await using transport = fetchTransport({ urls: [url], tls: { ca: await trusted() } });
      const headers = { authorization: token };
      const answer = await transport.request({ method: "GET", path, headers, signal });
      const text = await answer.text();
      return { status: answer.status, text: async () => text };
    });
  const loads = [
    through(overTls, { authorization }),
    through(overSocket),
    afresh(agentUrl, authorization),
    afresh(plane.url, `Bearer ${plane.token}`),
  ];
  stack.defer(async () => void (await Promise.all(loads.map((one) => one.stop()))));
  const authority = async () => (await plane.call<AuthorityView>("GET", "/v1/authority")).body;
  const issuing = async (part: string) =>
    (await authority()).certificates.find((one) => one.part === part && one.state === "issuing")?.fingerprint;
  const serial = async () =>
    (await host.call<{ identity: { serial: string } }>("GET", "/v1/agent/status")).body.identity.serial;

  const rotate = (body: object) => plane.call("POST", "/v1/authority/rotations", body);
  const [intermediate, root, leaf] = [await issuing("intermediate"), await issuing("root"), await serial()];
  expect((await rotate({ part: "intermediate" })).status).toBe(202);
  await eventually("the intermediate is new", async () => (await issuing("intermediate")) !== intermediate);
  expect((await rotate({ part: "root", overlapSeconds: 3 })).status).toBe(202);
  await eventually("the agent trusts both roots", async () => {
    const pem = await readFile(join(host.identity, "bundle.pem"), "utf8");
    return pem.split("BEGIN CERTIFICATE").length - 1 >= 2;
  });
  await eventually("the root is new", async () => (await issuing("root")) !== root);
  // By its clock the certificate of the host is now due.
  host.clock.move(13.5 * HOUR_MS);
  await eventually("the agent's certificate is new", async () => (await serial()) !== leaf);
  const before = loads.map(({ count }) => count);
  await eventually("the load goes on", () => loads.every(({ count }, at) => count > (before[at] ?? 0) + 20));
  await Promise.all(loads.map((one) => one.stop()));
  expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
});
