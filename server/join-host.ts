/** Joining of this host, for the command line: nothing listens meanwhile, and an agent that runs takes the new identity by itself. */
import { hostname } from "node:os";
import type { Joined } from "#agent";
import type { Host } from "#base";
import type { Settings } from "#settings";
import { agentDataDir } from "./host-identity.ts";

export interface JoinHostOptions {
  readonly urls: readonly string[];
  readonly token: string;
  readonly name?: string | undefined;
  readonly replace: boolean;
}

/** @throws the errors of a join */
export async function joinHost(
  host: Host,
  settings: Pick<Settings, "data" | "agentName">,
  { urls, token, name, replace }: JoinHostOptions,
): Promise<Joined> {
  const { joinControlPlane } = await import("#agent");
  return joinControlPlane(host, {
    urls,
    token,
    name: name ?? settings.agentName,
    defaultName: nameOfHost(),
    replace,
    dataDir: agentDataDir(settings),
  });
}

/** The host's name, without characters that a node's name cannot have. */
function nameOfHost(): string {
  return hostname().replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._-]/g, "") || "host";
}
