/** A browser against a control API in this process: keeps its cookie, and sends what browsers send. */
import { expect } from "vitest";
import { eventually, type TestControl } from "#test/kit";

export const ORIGIN = "http://127.0.0.1:8500";
/** Headers that a browser adds to a request of a page of the console. */
export const SAME_ORIGIN: Record<string, string> = {
  host: "127.0.0.1:8500",
  origin: ORIGIN,
  "sec-fetch-site": "same-origin",
};

export type Answer = Awaited<ReturnType<TestControl["call"]>>;

export interface Browser {
  readonly cookie: string;
  readonly csrf: string;
  /** The response that signed it in. */
  readonly answer: Answer;
  /** A request with the cookie; unsafe ones with the CSRF token, too. */
  call(method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export const signIn = (control: TestControl, body: object, headers: Record<string, string> = SAME_ORIGIN) =>
  control.call("POST", "/ui/api/session", body, headers);

/** The `name=value` of a cookie that an answer sets. */
export function cookieOf({ headers }: Pick<Answer, "headers">): string {
  return String(headers["set-cookie"]).split(";")[0] ?? "";
}

export async function openBrowser(control: TestControl, body: object): Promise<Browser> {
  const answer = await signIn(control, body);
  expect([answer.status, answer.json["code"]]).toEqual([201, undefined]);
  return browserWith(control, answer);
}

/** The browser of an answer that signed in, against the same or another member. */
export function browserWith(control: TestControl, answer: Answer): Browser {
  const cookie = cookieOf(answer);
  const csrf = String(answer.json["csrf"]);
  return {
    cookie,
    csrf,
    answer,
    call: (method, url, body, headers = {}) =>
      control.call(method, url, body, { ...SAME_ORIGIN, cookie, "x-posthouse-csrf": csrf, ...headers }),
  };
}

/** A token of a role, known to the member. */
export async function issue(control: TestControl, request: object): Promise<{ id: string; token: string }> {
  const { status, json } = await control.call("POST", "/v1/tokens", request);
  expect(status).toBe(201);
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually("the token is known", async () => {
    return (await control.call("GET", "/v1/me", undefined, headers)).status === 200;
  });
  return json as { id: string; token: string };
}
