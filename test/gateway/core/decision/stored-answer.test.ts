/**
 * The rules of the cache, one by one and by property: what may be kept, for which clients, for how long, and what a 304
 * changes.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  ageSeconds,
  cacheControl,
  clientHas,
  forKeeping,
  headersNow,
  isFreshFor,
  isGoodOnError,
  isVariantOf,
  lifetimeSeconds,
  mayKeep,
  renewedBy,
  revalidation,
  storedHead,
} from "../../../../gateway/core/decision/stored-answer.ts";

const came = { nowMs: 1_000_000, wallMs: Date.parse("Sun, 06 Nov 1994 08:49:37 GMT") };
const date = "Sun, 06 Nov 1994 08:49:37 GMT";
const later = (seconds: number) => came.nowMs + seconds * 1000;
const answer = (headers: Record<string, string | string[]>, asked: Record<string, string> = {}, status = 200) =>
  storedHead(status, headers, asked, came);
const kept = (control: string, more: Record<string, string | string[]> = {}, asked: Record<string, string> = {}) =>
  mayKeep(answer({ "cache-control": control, ...more }, asked), came.nowMs);

test.each<[string, number]>([
  ["max-age=60", 60],
  ["MAX-AGE=60", 60],
  ['max-age="60"', 60],
  ["max-age=60, s-maxage=10", 10],
  ["public", 0],
  ["max-age=60, no-cache", 0],
  ["max-age=x", 0],
  ["max-age=-1", 0],
  ["max-age=60, max-age=10", 10],
  ['x="a, max-age=5", max-age=60', 60],
])("%s is fresh for %d seconds", (control, seconds) => {
  expect(lifetimeSeconds(answer({ "cache-control": control }))).toBe(seconds);
});

test("a response without explicit freshness is not fresh", () => {
  const modified = { "last-modified": "Sun, 06 Nov 1983 08:49:37 GMT", date };
  expect(lifetimeSeconds(answer(modified))).toBe(0);
  expect(mayKeep(answer(modified), came.nowMs)).toBe(false);
  expect(lifetimeSeconds(answer({ date, expires: "Sun, 06 Nov 1994 08:50:37 GMT" }))).toBe(60);
  expect(lifetimeSeconds(answer({ date, expires: "0" }))).toBe(0);
  expect(
    lifetimeSeconds(answer({ date, expires: "Sun, 06 Nov 1994 08:50:37 GMT", "cache-control": "max-age=1" })),
  ).toBe(1);
});

test("a response that is personal, marked no-store, or of an unknown status is not kept", () => {
  expect(kept("max-age=60")).toBe(true);
  for (const control of ["max-age=60, private", "max-age=60, no-store", 'max-age=60, private="x"'])
    expect(kept(control)).toBe(false);
  expect(kept("max-age=60", { "set-cookie": "a=1" })).toBe(false);
  expect(kept("max-age=60", { vary: "*" })).toBe(false);
  expect(kept("max-age=60", { vary: ["accept", "*"] })).toBe(false);
  expect(kept("max-age=60", {}, { authorization: "x" })).toBe(false);
  expect(kept("public, max-age=60", {}, { authorization: "x", cookie: "a=1" })).toBe(true);
  expect(kept("max-age=60", {}, { cookie: "a=1" })).toBe(false);
  expect(kept("max-age=60", {}, { "cache-control": "no-store" })).toBe(false);
  expect(kept("max-age=60", { age: "60" })).toBe(false);
  for (const control of ["max-age=60, @@, private", 'max-age=60, x="a, no-store', "max-age=60; private"]) {
    expect([control, kept(control)]).toEqual([control, false]);
  }
  for (const status of [206, 304, 500, 599]) {
    expect(mayKeep(answer({ "cache-control": "max-age=60" }, {}, status), came.nowMs)).toBe(false);
  }
});

test("a request may ask for more than freshness", () => {
  const head = answer({ "cache-control": "max-age=60" });
  const fresh = (control: string, seconds: number) => isFreshFor(head, { "cache-control": control }, later(seconds));
  expect([fresh("", 59), fresh("", 61)]).toEqual([true, false]);
  expect([fresh("no-cache", 1), fresh("max-age=10", 9), fresh("max-age=10", 11)]).toEqual([false, true, false]);
  expect([fresh("min-fresh=20", 30), fresh("min-fresh=20", 50)]).toEqual([true, false]);
  expect([fresh("max-stale=20", 70), fresh("max-stale=20", 90), fresh("max-stale", 900)]).toEqual([true, false, true]);
  const strict = answer({ "cache-control": "max-age=60, must-revalidate" });
  expect(isFreshFor(strict, { "cache-control": "max-stale" }, later(61))).toBe(false);
  expect(isFreshFor(head, { pragma: "no-cache" }, later(1))).toBe(false);
});

test("an answer in place of an error is as old as it may be, and no older", () => {
  const good = (control: string, seconds: number) =>
    isGoodOnError(answer({ "cache-control": control }), 30, later(seconds));
  expect([good("max-age=60", 89), good("max-age=60", 91)]).toEqual([true, false]);
  expect([good("max-age=60, stale-if-error=5", 64), good("max-age=60, stale-if-error=5", 66)]).toEqual([true, false]);
  expect(good("max-age=60, must-revalidate", 61)).toBe(false);
});

test("the service's date stays beside the age, and an answer without one is dated when it came", () => {
  const head = answer({ date: "Sun, 06 Nov 1994 08:00:00 GMT", "cache-control": "max-age=60", age: "5" });
  expect(headersNow(head, later(10.9))).toMatchObject({ date: "Sun, 06 Nov 1994 08:00:00 GMT", age: "15" });
  expect(headersNow(answer({}), later(10))).toMatchObject({ date, age: "10" });
});

test("a request is of a variant when all that it varies by is the same", () => {
  const head = answer({ vary: "Accept, x-a" }, { accept: "a", other: "1" });
  expect(isVariantOf(head, { accept: "a" })).toBe(true);
  expect(isVariantOf(head, { accept: "b" })).toBe(false);
  expect(isVariantOf(head, { accept: "a", "x-a": "" })).toBe(false);
  expect(forKeeping(head).asked).toEqual({ accept: "a" });
});

test("a 304 replaces a stored response's headers except those of its bytes, and cookies go to the requesting client only", () => {
  const stored = answer({
    "content-type": "text/plain",
    "content-length": "4",
    etag: '"1"',
    "cache-control": "max-age=1",
    "x-old": "stays",
    age: "50",
    date,
  });
  expect(revalidation(stored)).toEqual(["if-none-match", '"1"']);
  const now = { nowMs: later(100), wallMs: came.wallMs + 100_000 };
  const said = {
    link: "</a>; rel=next",
    "x-ratelimit-remaining": "7",
    "cache-control": "max-age=9",
    "content-type": "text/html",
    "content-length": "0",
    "content-encoding": "gzip",
    "set-cookie": ["a=1", "b=2"],
  };
  const { head, personal } = renewedBy(stored, said, { accept: "x" }, now);
  expect(head.headers).toEqual({
    "content-type": "text/plain",
    "content-length": "4",
    etag: '"1"',
    "x-old": "stays",
    link: "</a>; rel=next",
    "x-ratelimit-remaining": "7",
    "cache-control": "max-age=9",
    date: "Sun, 06 Nov 1994 08:51:17 GMT",
  });
  expect(personal).toEqual({ "set-cookie": ["a=1", "b=2"] });
  expect([ageSeconds(head, now.nowMs), mayKeep(head, now.nowMs)]).toEqual([0, true]);
});

test.each(["no-store", "private, max-age=60", "no-cache", "max-age=0"])(
  "a 304 with %s ends what is kept",
  (control) => {
    const stored = answer({ "cache-control": "max-age=60" });
    const { head } = renewedBy(stored, { "cache-control": control }, {}, came);
    expect(mayKeep(head, came.nowMs)).toBe(false);
  },
);

test("a 304 with another Vary makes the stored response the variant of the requesting client", () => {
  const stored = answer({ "cache-control": "max-age=60" });
  const { head } = renewedBy(stored, { vary: "accept-language" }, { "accept-language": "de" }, came);
  const languages = ["de", "en"].map((language) =>
    isFreshFor(forKeeping(head), { "accept-language": language }, came.nowMs),
  );
  expect(languages).toEqual([true, false]);
  expect(mayKeep(renewedBy(stored, { vary: "*" }, {}, came).head, came.nowMs)).toBe(false);
});

test("a client has it by its tag, or by its date where it sends no tag", () => {
  const head = answer({ etag: 'W/"1"', "last-modified": date });
  expect(clientHas(head, { "if-none-match": '"0", "1"' })).toBe(true);
  expect(clientHas(head, { "if-none-match": '"0"', "if-modified-since": date })).toBe(false);
  expect(clientHas(head, { "if-modified-since": date })).toBe(true);
  expect(clientHas(head, { "if-modified-since": "Sun, 06 Nov 1994 08:49:36 GMT" })).toBe(false);
});

test("no text of Cache-Control throws, takes long, or makes an answer fresher than its max-age", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), fc.nat(100), (noise, age) => {
      cacheControl(noise);
      expect(
        lifetimeSeconds(answer({ "cache-control": [`max-age=${age}`, noise.replaceAll("s-maxage", "")] })),
      ).toBeLessThanOrEqual(age);
    }),
  );
});
