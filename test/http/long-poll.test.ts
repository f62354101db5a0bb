/** If-None-Match, and that no long poll of any API answers at once twice for the same state. */
import { array, assert, boolean, constantFrom, property, record, stringMatching } from "fast-check";
import { expect, test } from "vitest";
import { longPoll, parseIfNoneMatch } from "#http";

import { createAgent } from "#agent";
import { eventually, tempFolder, testHost, withControl } from "#test/kit";
import { authorizationOf, callHttp, settingsIn } from "../agent/agent-kit.ts";

test.each([
  ['"a"', "a", true],
  ['W/"a"', "a", true],
  ['"a", "b"', "b", true],
  ['"a",W/"b" ,\t"c"', "c", true],
  [', "a", ,', "a", true],
  ['"x,y", "b"', "x,y", true],
  ['"x,y", "b"', "x", false],
  ["*", "whatever", true],
  [" * ", "whatever", true],
  ['"*"', "whatever", false],
  ['""', "", true],
  ["a-1.2", "a-1.2", true],
  ['"a" "b"', "a", false],
  ['"a', "a", false],
  ['"a", *', "a", false],
])("If-None-Match: %s has the tag %j: %s", (header, tag, expected) => {
  expect(parseIfNoneMatch(header)?.matches(tag) ?? false).toBe(expected);
});

test("any list of tags matches each of its tags and no other", () => {
  const tag = stringMatching(/^[\x21\x23-\x7e]{0,20}$/);
  const spaces = constantFrom("", " ", "\t ");
  const item = record({ tag, weak: boolean(), before: spaces, after: spaces });
  assert(
    property(array(item, { minLength: 1, maxLength: 8 }), tag, (items, other) => {
      const header = items.map((one) => `${one.before}${one.weak ? "W/" : ""}"${one.tag}"${one.after}`).join(",");
      const found = parseIfNoneMatch(header);
      for (const one of items) expect(found?.matches(one.tag), header).toBe(true);
      expect(found?.matches(other)).toBe(items.some((one) => one.tag === other));
    }),
  );
});

test("news before the look, during it and after it are all answered; without news the wait is kept", async () => {
  const { clock } = testHost();
  const signal = new AbortController().signal;
  let tag: string | undefined = "1";
  const waiters = new Set<() => void>();
  const next = (ms: number, aborted: AbortSignal) =>
    new Promise<boolean>((resolve) => {
      const cancel = clock.after(ms, () => resolve(false));
      const done = (news: boolean) => () => {
        cancel();
        resolve(news);
      };
      waiters.add(done(true));
      aborted.addEventListener("abort", done(false), { once: true });
    });
  const set = (value: string | undefined) => {
    tag = value;
    for (const wake of waiters) wake();
    waiters.clear();
  };
  const poll = (header: string | undefined, waitMs: number) =>
    longPoll(clock, {
      read: async () => ({ state: tag, tag }),
      next,
      known: parseIfNoneMatch(header),
      waitMs,
      signal,
    });
  expect(await poll(undefined, 5_000)).toMatchObject({ tag: "1", isKnown: false });
  expect(await poll('"1"', 5)).toMatchObject({ tag: "1", isKnown: true });
  const changed = poll('"1"', 20_000);
  set("2");
  expect(await changed).toMatchObject({ tag: "2", isKnown: false });
  const went = poll('"2"', 20_000);
  await new Promise((resolve) => setImmediate(resolve));
  set(undefined);
  expect(await went).toMatchObject({ tag: undefined });
  expect(await poll('"2"', 5)).toMatchObject({ tag: undefined, isKnown: false });
  const came = poll('"2"', 20_000);
  set("3");
  expect(await came).toMatchObject({ tag: "3", isKnown: false });
});

test("no long poll of any API answers at once twice for the same state", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  const settings = await settingsIn(folder.path);
  await using agent = await createAgent(testHost(), { client: control.client, settings });
  const { socket = "" } = await agent.listen();
  const here = { address: "10.0.0.1", port: 80 };
  const SET = "/v1/config/default/orders/default";
  await control.call("PUT", "/v1/services/there/instances/one", here);
  await control.call("PUT", "/v1/services/gone/instances/one", here);
  await control.call("PUT", "/v1/services/gone/policy", { fallback: "other" });
  const old = await eventually("its tag", async () => {
    const { headers } = await control.call("GET", "/v1/services/gone/instances");
    return headers["etag"] as string | undefined;
  });
  await control.call("DELETE", "/v1/services/gone/instances/one");
  await control.call("POST", `${SET}/releases`, { items: { k: { format: "text", value: "v" } } });
  const session = String((await control.call("POST", "/v1/sessions", { ttlSeconds: 600 })).json["id"]);
  await control.call("PUT", "/v1/locks/held", { session });
  await eventually("all is seen", async () => {
    const urls = [SET, "/v1/services/there/instances"];
    const gone = await control.call("GET", "/v1/services/gone/instances");
    const seen = await Promise.all(urls.map((url) => control.call("GET", url)));
    return gone.status === 404 && seen.every(({ status }) => status === 200);
  });
  const operator = { authorization: `Bearer ${control.token}` };
  const local = { authorization: await authorizationOf(settings) };
  const ask = async (url: string, tag: string | undefined) => {
    const headers: Record<string, string> = tag === undefined ? {} : { "if-none-match": tag };
    if (url.startsWith("/v1/agent")) return callHttp(socket, "GET", url, undefined, { ...local, ...headers });
    return control.call("GET", url, undefined, { ...operator, ...headers });
  };
  const polls: [string, string | undefined][] = [
    ["/v1/services/gone/instances", old],
    ["/v1/services/gone/instances", undefined],
    ["/v1/services/gone/instances", "*"],
    ["/v1/services/never/instances", 'W/"7"'],
    ["/v1/services/never/instances?failover=true", 'W/"7"'],
    ["/v1/services/there/instances", "*"],
    ["/v1/services/there/instances?healthy=true", undefined],
    ["/v1/config/default/never/default", '"some"'],
    ["/v1/config/default/never/default", undefined],
    [SET, undefined],
    [SET, "*"],
    ["/v1/locks/free", undefined],
    ["/v1/locks/held", undefined],
    ["/v1/locks/held", "*"],
    ["/v1/agent/config/default/orders/default", undefined],
    ["/v1/services/there/instances/one/drain", undefined],
  ];
  const WAIT_MS = 1_000;
  const early = await Promise.all(
    polls.map(async ([url, tag]) => {
      const polled = `${url}${url.includes("?") ? "&" : "?"}wait=${WAIT_MS / 1000}`;
      const first = await ask(polled, tag);
      // The caller uses the tag of the answer from now on, in a list as proxies make them.
      const given = first.headers["etag"] as string | undefined;
      const next = tag ?? (given === undefined ? undefined : `"other", ${given}`);
      const begun = performance.now();
      const second = await ask(polled, next);
      const tookMs = performance.now() - begun;
      return tookMs < WAIT_MS * 0.9
        ? [`${url} ${next ?? ""} gave ${second.status} after ${Math.round(tookMs)} ms`]
        : [];
    }),
  );
  expect(early.flat()).toEqual([]);
});
