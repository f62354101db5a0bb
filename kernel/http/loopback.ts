/** Whether an address stays on this machine. */
import { BlockList, isIP } from "node:net";
import { bareHost } from "#base";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/**
 * True for `localhost` and addresses of the loopback range, in brackets or not. Other names are not resolved and count as remote.
 */
export function isLoopback(host: string): boolean {
  const address = bareHost(host);
  const kind = isIP(address);
  if (kind === 0) return address.toLowerCase() === "localhost";
  return loopback.check(address, kind === 4 ? "ipv4" : "ipv6");
}
