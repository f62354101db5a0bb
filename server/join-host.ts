/** Joining of this host, for the command line: nothing listens meanwhile, and an agent that runs takes the new identity by itself. */
import type { Joined } from "#agent";
import type { Host } from "#base";
import type { Settings } from "#settings";
import { agentDataDir } from "./host-identity.ts";
import { nameOfHost } from "./roles/parts.ts";

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
    defaultName: nameOfHost("host"),
    replace,
    dataDir: agentDataDir(settings),
  });
}
