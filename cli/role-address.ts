/** Addresses at which a command calls the roles of this host. */
import { own } from "#base";

/** The host to call for one that a role listens on. */
export function callableHost(host: string): string {
  return own({ "0.0.0.0": "127.0.0.1", "::": "::1" }, host) ?? host;
}
