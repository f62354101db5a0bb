/** The session cookie of the console reaches no service, and no service can set it. */
import { expect, test } from "vitest";
import { answerHeaders } from "../../../../gateway/core/decision/headers.ts";
import { setsConsoleCookie, withoutConsoleCookie } from "../../../../gateway/core/request/console-cookie.ts";

test.each([
  ["posthouse_session=abc", undefined],
  ["__Host-posthouse_session=abc", undefined],
  ["a=1; posthouse_session=abc", "a=1"],
  ["posthouse_session=abc; a=1", "a=1"],
  ["a=1; posthouse_session=x; b=2;posthouse_session=y", "a=1; b=2"],
  ["a=1;\t__Host-posthouse_session =x", "a=1"],
  ["my_posthouse_session=mine; a=posthouse_session", "my_posthouse_session=mine; a=posthouse_session"],
  ["a=1; b=2", "a=1; b=2"],
])("of the cookies %j the service receives %j", (given, expected) => {
  expect(withoutConsoleCookie(given)).toBe(expected);
});

test("only a Set-Cookie of that very name is dropped", () => {
  expect(setsConsoleCookie("posthouse_session=x; Path=/")).toBe(true);
  expect(setsConsoleCookie("__Host-posthouse_session=x; Path=/; Secure")).toBe(true);
  expect(setsConsoleCookie("session=posthouse_session=x")).toBe(false);
});

test("an answer passes a service's cookies and drops the console's", () => {
  const answer = ["set-cookie", "posthouse_session=x", "Set-Cookie", "a=1"];
  expect(answerHeaders(answer, [])).toEqual(["Set-Cookie", "a=1"]);
});
