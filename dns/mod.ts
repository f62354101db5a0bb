/** Discovery by DNS: the server, and the catalog readers that it uses. */
export { registryCatalog, WatchedCatalog } from "./catalogs.ts";
export type { DnsCatalog, DnsInstance } from "./core/directory.ts";
export { parseUpstream, type Upstream } from "./forwarder.ts";
export { startDns, type DnsOptions, type RunningDns } from "./server.ts";
