/** Calls with a token of its own. */
import { eventually, type TestControl } from "#test/kit";

export type AnyCall = TestControl["call"];

export interface Caller {
  readonly id: string;
  readonly token: string;
  readonly summary: Record<string, unknown>;
  readonly call: (method: string, url: string, body?: unknown) => ReturnType<AnyCall>;
}

/** Issues a token, and waits until it is accepted. */
export async function as(control: TestControl, request: object): Promise<Caller> {
  const { status, json } = await control.call("POST", "/v1/tokens", request);
  if (status !== 201) throw new Error(`no token: ${JSON.stringify(json)}`);
  return callerWith(control, json);
}

export async function callerWith(control: TestControl, summary: Record<string, unknown>): Promise<Caller> {
  const token = String(summary["token"]);
  const headers = { authorization: `Bearer ${token}` };
  await eventually("the token is known", async () => {
    return (await control.call("GET", "/v1/me", undefined, headers)).status === 200;
  });
  return {
    id: String(summary["id"]),
    token,
    summary,
    call: (method, url, body) => control.call(method, url, body, headers),
  };
}
