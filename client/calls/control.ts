/** Every call of the control API by area. Short commands use it without the rest of the client, which costs more to load than a call. */
import type { Host } from "#base";
import { tokenCalls } from "./access.ts";
import { Caller, type ClientOptions } from "./caller.ts";
import { configCalls, type ConfigCalls } from "./config.ts";
import { deviceLoginCalls } from "./device-logins.ts";
import { identityCalls } from "./identity.ts";
import { lockCalls, type LockCalls } from "./locks.ts";
import { gatewayCalls, quotaCalls, systemCalls, timelineCalls, trafficCalls } from "./others.ts";
import { registryCalls, type RegistryCalls } from "./registry.ts";
import { serviceRuleCalls } from "./service-rules.ts";

export interface ControlCalls {
  readonly registry: RegistryCalls;
  readonly locks: LockCalls;
  readonly config: ConfigCalls;
  readonly access: ReturnType<typeof tokenCalls>;
  readonly deviceLogins: ReturnType<typeof deviceLoginCalls>;
  readonly identity: ReturnType<typeof identityCalls>;
  readonly quotas: ReturnType<typeof quotaCalls>;
  readonly gateway: ReturnType<typeof gatewayCalls>;
  readonly system: ReturnType<typeof systemCalls>;
  readonly timeline: ReturnType<typeof timelineCalls>;
  readonly traffic: ReturnType<typeof trafficCalls>;
  readonly serviceRules: ReturnType<typeof serviceRuleCalls>;
}

/** Errors keep the server's code (`REGISTRY_…`, `CONFIG_…`, `HTTP_…`); without an answer it is CLIENT_UNREACHABLE. */
export function controlCalls(host: Host, options: ClientOptions): ControlCalls {
  const caller = new Caller(host, options);
  return {
    registry: registryCalls(caller),
    locks: lockCalls(caller),
    config: configCalls(caller),
    access: tokenCalls(caller),
    deviceLogins: deviceLoginCalls(caller),
    identity: identityCalls(caller),
    quotas: quotaCalls(caller),
    gateway: gatewayCalls(caller),
    system: systemCalls(caller),
    timeline: timelineCalls(caller),
    traffic: trafficCalls(caller),
    serviceRules: serviceRuleCalls(caller),
  };
}
