/** The address and port under which others reach a server of this process. */
import { networkInterfaces } from "node:os";
import { ClientErrors } from "../errors.ts";

/** The part of Node's servers that a registration uses. `http2` and `https` servers have it, too. */
export interface ListeningServer {
  address(): { readonly address: string; readonly port: number } | string | null;
  close(callback?: (error?: Error) => void): unknown;
  closeIdleConnections?(): void;
  closeAllConnections?(): void;
}

const WILDCARDS = new Set(["0.0.0.0", "::", ""]);

/** Given values override those of the server. @throws CLIENT_OPTION_INVALID without a port */
export function ownAddress({
  address,
  port,
  server,
}: {
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly server: ListeningServer | undefined;
}): { readonly address: string; readonly port: number } {
  const bound = server?.address();
  const at = typeof bound === "object" && bound !== null ? bound : undefined;
  const found = port ?? at?.port;
  if (found === undefined)
    throw ClientErrors.OPTION_INVALID(
      "Option port: it is absent, and no server that listens is given. Give port, or register after the server listens.",
      { extra: { field: "port" } },
    );
  if (address !== undefined) return { address, port: found };
  return { address: at && !WILDCARDS.has(at.address) ? at.address : hostAddress(), port: found };
}

/** The first address of this machine that others may reach, IPv4 before IPv6; loopback without a network. */
function hostAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const outer = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return (outer.find(({ family }) => family === "IPv4") ?? outer[0])?.address ?? "127.0.0.1";
}
