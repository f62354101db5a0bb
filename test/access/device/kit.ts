/** A device that asks to sign in, and the person who decides, against a control API in this process. */
import type { Browser } from "../browser.ts";
import type { TestControl } from "#test/kit";

export interface StartedLogin {
  readonly deviceCode: string;
  readonly userCode: string;
}

/** Requests of devices come from an address of their own, so that tests do not slow each other down. */
let devices = 0;
export const nextAddress = () => `10.1.${devices >> 8}.${devices++ & 255}`;

export async function post(control: TestControl, url: string, body: object, address = nextAddress()) {
  const answer = await control.app.inject({
    method: "POST",
    url,
    remoteAddress: address,
    headers: { "content-type": "application/json" },
    payload: JSON.stringify(body),
  });
  return { status: answer.statusCode, json: answer.json<Record<string, unknown>>() };
}

export async function startLogin(control: TestControl, device = "web-1"): Promise<StartedLogin> {
  const { json } = await post(control, "/v1/device-logins", { device });
  return json as unknown as StartedLogin;
}

export const poll = (control: TestControl, deviceCode: string, address?: string) =>
  post(control, "/v1/device-logins/token", { deviceCode }, address);

export const decide = (browser: Browser, userCode: string, allow: boolean) =>
  browser.call("POST", `/v1/device-logins/${userCode}/decision`, { allow });
