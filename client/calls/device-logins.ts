/** Calls of a login without a browser, which need no token, and of the end of such a login. */
import type { DeviceLoginRequest, DeviceLoginStarted, DeviceToken } from "#access/api";
import type { Caller, CallOptions } from "./caller.ts";

export function deviceLoginCalls(caller: Caller) {
  return {
    start: (request: DeviceLoginRequest, options: CallOptions = {}) =>
      caller.call<DeviceLoginStarted>("POST", "/v1/device-logins", request, options),
    /** The token, once a person has confirmed the login. Until then it throws DEVICE_AUTHORIZATION_PENDING. */
    poll: (deviceCode: string, options: CallOptions = {}) =>
      caller.call<DeviceToken>("POST", "/v1/device-logins/token", { deviceCode }, options),
    /** Ends the token of the call, which a login made. */
    end: (options: CallOptions = {}) => caller.call<void>("DELETE", "/v1/me/token", undefined, options),
  };
}
