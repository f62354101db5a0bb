/** Sessions outlive a restart and a kill of a real server; open watches end with their session or token. */
import { expect, test } from "vitest";
import {
  call,
  hangSignal,
  outlivesRestarts,
  type Posthouse,
  startPosthouse,
  tempFolder,
  within,
  withControl,
} from "#test/kit";
import { cookieOf, issue, signIn, SAME_ORIGIN } from "./browser.ts";

test("a session outlives restarts, a used link does not return, and only the first start of a service prints one", async () => {
  await using data = await tempFolder();
  const posthouse = await startPosthouse({ data: data.path, args: ["--roles", "registry,config-server"] });
  const console = /^ {2}console +(\S+)$/m.exec(posthouse.output())?.[1];
  expect(console).toBe(`${posthouse.api}/ui/`);
  const link = /^ {2}sign in +(\S+) \(one use, 10 minutes\)$/m.exec(posthouse.output())?.[1] ?? "";
  expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/ui\/#\/signin\?code=c0c0c0c0c0c0c0c0_[0-9a-f]{32}$/);
  const body = { code: link.split("code=")[1] };
  const session = (api: string) => `${api}/ui/api/session`;
  const answer = await call(session(posthouse.api), { method: "POST", body, headers: { origin: posthouse.api } });
  expect([answer.status, answer.json]).toMatchObject([201, { name: "console", policies: ["operator"] }]);
  const cookie = cookieOf({ headers: { "set-cookie": answer.headers.get("set-cookie") ?? "" } });
  await outlivesRestarts(posthouse, async ({ api, output, token }: Posthouse) => {
    const again = await call(session(api), { headers: { cookie } });
    expect([again.status, again.json]).toEqual([200, answer.json]);
    const used = await call(session(api), { method: "POST", body });
    expect([used.status, used.json["code"]]).toEqual([401, "ACCESS_CODE_INVALID"]);
    const csrf = String(again.json["csrf"]);
    const headers = { cookie, "x-posthouse-csrf": csrf };
    const made = await call(`${api}/v1/tokens`, { method: "POST", body: { name: "a", policies: ["viewer"] }, headers });
    expect(made.status).toBe(201);
    expect(output().includes("sign in")).toBe(token !== undefined);
  });
});

/** Milliseconds from the end of a session or token to that of its watches: a heartbeat, twice. */
const ENDS_MS = 3_000;

test.each(["sign-out", "revocation", "expiry", "revocation of a bearer token"])(
  "a watch ends soon after %s",
  async (how) => {
    await using control = await withControl();
    const address = await control.app.listen({ host: "127.0.0.1", port: 0 });
    const ttl = how === "expiry" ? { ttlSeconds: 2 } : {};
    const { id, token } = await issue(control, { name: "eyes", policies: ["viewer"], ...ttl });
    const answer = await signIn(control, { token });
    const cookie = cookieOf(answer);
    const headers = how.includes("bearer") ? { authorization: `Bearer ${token}` } : { cookie };
    const watch = await fetch(`${address}/v1/watch/services`, { headers, signal: hangSignal() });
    expect(watch.status).toBe(200);
    const other = await fetch(`${address}/v1/watch/services`, {
      headers: { authorization: `Bearer ${control.token}` },
      signal: hangSignal(),
    });
    let text = "";
    let hasEnded = false;
    const reading = (async () => {
      for await (const chunk of watch.body ?? []) text += Buffer.from(chunk).toString();
      hasEnded = true;
    })();
    await within(ENDS_MS, "it is live", () => text.includes("synced"));
    expect(hasEnded).toBe(false);
    const csrf = String(answer.json["csrf"]);
    if (how === "sign-out") {
      const sent = { ...SAME_ORIGIN, cookie, "x-posthouse-csrf": csrf };
      expect((await control.call("DELETE", "/ui/api/session", undefined, sent)).status).toBe(204);
    } else if (how !== "expiry") await control.call("DELETE", `/v1/tokens/${id}`);
    await within(ENDS_MS + (how === "expiry" ? 2_000 : 0), "the watch has ended", () => hasEnded);
    await reading;
    expect((await fetch(`${address}/v1/watch/services`, { headers, signal: hangSignal() })).status).toBe(401);
    // Those of others go on.
    const watchers = (await control.call("GET", "/v1/watches")).json["watchers"] as unknown[];
    expect(watchers).toHaveLength(1);
    await other.body?.cancel();
  },
);
