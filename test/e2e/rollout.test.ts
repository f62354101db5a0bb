/**
 * Gradual releases on real processes: a control plane, and services that register with health checks, follow their
 * config and acknowledge it as applied or failed. Each service prints the values that it receives.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  call,
  eventually,
  freePort,
  type Posthouse,
  type Program,
  startPosthouse,
  startProgram,
  tempFolder,
} from "#test/kit";

const IDS = ["web-0", "web-1", "web-2"];
const SET = "/v1/config/default/orders/default";
const CONTROL = ["--roles", "registry", "config-server", "--dns", "off", "--probe-loopback", "true", "--port"];
const SOON = { holdSeconds: 0.5, ackTimeoutSeconds: 10 };
const LONG = { holdSeconds: 600, ackTimeoutSeconds: 600 };

interface Rollout {
  readonly state: string;
  readonly version: number;
  readonly stage: number;
  readonly because?: string;
  readonly by?: string;
  readonly endedAt?: string;
  readonly waitsFor?: string;
  readonly stages: readonly { readonly reached?: number; readonly beganAt?: string }[];
  readonly failures: readonly { readonly instance: string }[];
}

interface Plane extends AsyncDisposable {
  readonly subscribers: Program;
  server: Posthouse;
  restart(ending?: "SIGKILL" | "SIGTERM"): Promise<void>;
  call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  publish(value: string, rollout?: object): Promise<Record<string, unknown>>;
  /** The last value that each service received, in order of id. */
  told(): string;
  /** All values that each service received. */
  stories(): string[];
  ended(version: number): Promise<Rollout>;
}

/** A server, three services of which the first is in zone eu, and a first release that all of them run. */
async function plane(): Promise<Plane> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const port = await freePort();
  const start = () => startPosthouse({ data: join(folder, "data"), args: [...CONTROL, String(port)] });
  const server = stack.use(await start());
  const token = server.token as string;
  const services = IDS.map((id, index) => `${id}=${index === 0 ? "eu" : "us"}`);
  const subscribers = stack.use(
    startProgram("test/e2e/rollout-subscriber.ts", ["--api", server.api, "--token", token, ...services]),
  );
  const stories = () => {
    const lines = subscribers.output().split("\n");
    return IDS.map((id) => {
      const begin = `told ${id} `;
      return lines.flatMap((line) => (line.startsWith(begin) ? [line.slice(begin.length)] : [])).join(",");
    });
  };
  const owned = stack.move();
  const self: Plane = {
    subscribers,
    server,
    async restart(ending = "SIGKILL") {
      self.server.kill(ending);
      await self.server.exited;
      self.server = owned.use(await start());
    },
    async call(method, path, body) {
      const answer = await call(`http://127.0.0.1:${port}${path}`, {
        method,
        token,
        ...(body === undefined ? {} : { body }),
      });
      if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.text}`);
      return answer.json;
    },
    publish: (value, rollout) =>
      self.call("POST", `${SET}/releases`, {
        items: { "a.txt": { format: "text", value }, "b.txt": { format: "text", value } },
        ...(rollout === undefined ? {} : { rollout }),
      }),
    stories,
    told: () =>
      stories()
        .map((story) => story.split(",").at(-1))
        .join(" | "),
    ended: (version) =>
      eventually(`the rollout of ${version} has ended`, async () => {
        const { rollouts } = (await self.call("GET", `${SET}/rollouts`)) as { rollouts: Rollout[] };
        return rollouts.find((one) => one.version === version && one.endedAt !== undefined);
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  await self.publish("one");
  await eventually("all run the first release, and are well", async () => {
    const { applied, subscribers } = (await self.call("GET", `${SET}/acknowledgements`)) as {
      applied: number;
      subscribers: { present: boolean }[];
    };
    const { instances } = (await self.call("GET", "/v1/services/orders/instances")) as {
      instances: { status: string }[];
    };
    const well = instances.filter(({ status }) => status === "passing").length;
    return applied === IDS.length && well === IDS.length && subscribers.every(({ present }) => present);
  });
  return self;
}

/** No service saw a mix of two releases, and none has died. */
function wholeAndAlive({ subscribers: { child, output, errors } }: Plane): void {
  expect([child.exitCode, errors()]).toEqual([null, ""]);
  expect(output()).not.toContain("mix");
}

test("a good release goes through its stages to everybody", { timeout: 300_000 }, async () => {
  await using world = await plane();
  await world.publish("two", {
    stages: [
      { labels: { zone: "eu" }, ...SOON },
      { percent: 50, ...SOON },
    ],
    everybody: SOON,
  });
  await eventually("the first stage", () => world.told() === "two | one | one");
  const view = await world.ended(2);
  expect(view).toMatchObject({
    state: "completed",
    because: "3 of 3 applied it, and all was well for 0.5 s",
    stages: [{ reached: 1, applied: 1 }, {}, { reached: 3, applied: 3 }],
  });
  const [first = 0, second = 0, third = 0] = view.stages.map(({ beganAt = "" }) => Date.parse(beganAt));
  expect(Math.min(second - first, third - second), "each stage was held").toBeGreaterThanOrEqual(500);
  expect(world.stories()).toEqual(["one,two", "one,two", "one,two"]);
  wholeAndAlive(world);
});

test("a release that one instance cannot apply is taken back by itself", { timeout: 300_000 }, async () => {
  await using world = await plane();
  await world.publish("refused by web-1", {
    stages: [
      { labels: { zone: "eu" }, ...SOON },
      { instances: ["web-1"], ...LONG },
    ],
  });
  const view = await world.ended(2);
  expect(view).toMatchObject({
    state: "rolledBack",
    stage: 1,
    because: "web-1 could not apply it: no room",
    failures: [{ instance: "web-1", error: "no room" }],
  });
  expect(view.by).toBeUndefined();
  await eventually("all are back", () => world.told() === "one | one | one");
  const there = "one,refused by web-1,one";
  expect(world.stories(), "the third never received it").toEqual([there, there, "one"]);
  expect(await world.call("GET", "/v1/config")).toMatchObject({ sets: [{ version: 1 }] });
  wholeAndAlive(world);
});

test("a release whose instances turn critical is taken back by itself", { timeout: 300_000 }, async () => {
  await using world = await plane();
  await world.publish("ill on web-0", { stages: [{ labels: { zone: "eu" }, ...LONG }] });
  expect(await world.ended(2)).toMatchObject({
    state: "rolledBack",
    stage: 0,
    because: "1 instances of orders turned critical (at most 0 may): web-0",
    stages: [{ reached: 1, applied: 1 }, {}],
  });
  await eventually("it is back", () => world.told() === "one | one | one");
  await eventually("and well again", async () => {
    const { instances } = (await world.call("GET", "/v1/services/orders/instances")) as {
      instances: { status: string }[];
    };
    return instances.every(({ status }) => status === "passing");
  });
  expect(world.stories()).toEqual(["one,ill on web-0,one", "one", "one"]);
  wholeAndAlive(world);
});

test("an abort rolls it back at once, and is recorded with author and reason", { timeout: 300_000 }, async () => {
  await using world = await plane();
  await world.publish("two", { stages: [{ instances: ["web-0", "web-2"], ...LONG }] });
  await eventually("it reached two", () => world.told() === "two | one | two");
  const answer = await world.call("POST", `${SET}/rollout/abort`, { reason: "wrong ticket" });
  expect(answer).toMatchObject({ state: "rolledBack", because: "wrong ticket", by: "operator" });
  await eventually("all are back", () => world.told() === "one | one | one");
  expect(world.stories()).toEqual(["one,two,one", "one", "one,two,one"]);
  expect(await world.call("GET", `${SET}/releases`)).toMatchObject({
    releases: [{ version: 2, rollout: "rolledBack" }, {}],
  });
  wholeAndAlive(world);
});

test(
  "a server killed in the middle of a stage continues where it was, and holds the stage again from the start",
  { timeout: 300_000 },
  async () => {
    await using world = await plane();
    await world.publish("two", {
      stages: [{ labels: { zone: "eu" }, holdSeconds: 3, ackTimeoutSeconds: 30 }],
      everybody: SOON,
    });
    await eventually("it is acknowledged and held", async () =>
      ((await world.call("GET", `${SET}/rollout`)) as unknown as Rollout).waitsFor?.startsWith(
        "1 applied it; held for",
      ),
    );
    await world.restart();
    const upMs = performance.now();
    expect(await world.call("GET", `${SET}/rollout`)).toMatchObject({ version: 2, state: "running", stage: 0 });
    expect(world.told()).toBe("two | one | one");
    expect(await world.ended(2)).toMatchObject({ state: "completed" });
    expect(performance.now() - upMs).toBeGreaterThanOrEqual(3_000);
    await eventually("everybody", () => world.told() === "two | two | two");
    expect(world.stories()).toEqual(["one,two", "one,two", "one,two"]);
    wholeAndAlive(world);
  },
);

test("a server killed during a rollback leaves no instance behind", { timeout: 300_000 }, async () => {
  await using world = await plane();
  await world.publish("two", { stages: [{ labels: { zone: "eu" }, ...LONG }] });
  await eventually("it reached one", () => world.told() === "two | one | one");
  const aborting = world.call("POST", `${SET}/rollout/abort`, { reason: "cut" }).catch(() => undefined);
  await world.restart();
  await aborting;
  // Whether the abort was durable or not: every instance gets the recorded release.
  const { rollouts } = (await world.call("GET", `${SET}/rollouts`)) as { rollouts: Rollout[] };
  if (rollouts[0]?.state === "running") await world.call("POST", `${SET}/rollout/abort`, { reason: "cut" });
  expect(await world.ended(2)).toMatchObject({ state: "rolledBack", because: "cut" });
  await eventually("all are back", () => world.told() === "one | one | one");
  // A stop and a start change nothing of it.
  await world.restart("SIGTERM");
  expect(await world.ended(2)).toMatchObject({ state: "rolledBack", because: "cut" });
  await world.publish("three");
  await eventually("the next release reaches all", () => world.told() === "three | three | three");
  wholeAndAlive(world);
});

test(
  "a server killed at any moment of a publish has either all of the release or nothing of it",
  { timeout: 300_000 },
  async () => {
    await using folder = await tempFolder();
    const start = () => startPosthouse({ data: folder.path, args: [...CONTROL, "0"] });
    const sized = (value: string) => ({ format: "text" as const, value: `${value} ${"x".repeat(900_000)}` });
    const items = (value: string) => ({ a: sized(value), b: sized(value), c: sized(value) });
    await using stack = new AsyncDisposableStack();
    let server = stack.use(await start());
    const { token } = server;
    let live = 0;
    for (const afterMs of [1, 15, 40, 80, undefined]) {
      const value = `try after ${afterMs ?? "the answer"}`;
      const rollout = live === 0 ? undefined : { stages: [{ percent: 10, ...LONG }] };
      const body = { items: items(value), ...(rollout ? { rollout } : {}), emergency: true, reason: "drill" };
      const publishing = call(`${server.api}${SET}/releases`, { method: "POST", token, body }).catch(() => undefined);
      if (afterMs === undefined) await publishing;
      else await new Promise((resolve) => setTimeout(resolve, afterMs));
      server.kill("SIGKILL");
      await server.exited;
      const answered = (await publishing)?.status === 201;
      server = stack.use(await start());
      const { json: list } = await call(`${server.api}${SET}/releases`, { token });
      const releases = (list["releases"] ?? []) as { version: number }[];
      expect(releases.map(({ version }) => version).toReversed()).toEqual(releases.map((_, index) => index + 1));
      if (answered) expect(releases.length).toBe(live + 1);
      expect([live, live + 1]).toContain(releases.length);
      live = releases.length;
      for (const { version } of releases) {
        const { json } = await call(`${server.api}${SET}/releases/${version}`, { token });
        const values = Object.values(json["items"] as Record<string, { value: string }>).map(({ value }) => value);
        expect([values.length, new Set(values).size]).toEqual([3, 1]);
      }
    }
    expect(live, "the last one was answered").toBeGreaterThan(0);
  },
);
