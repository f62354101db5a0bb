/** The identity that this host received when it joined a control plane, for every role of the process that calls it. */
import { join } from "node:path";
import type { AgentIdentity } from "#agent";
import type { Host } from "#base";
import type { Settings } from "#settings";

/** Folder of the agent's data, below the data folder of the process. */
export const agentDataDir = ({ data }: Pick<Settings, "data">): string => join(data, "agent");

/**
 * Undefined for a process with the control API or with a token, and for a host that has not joined.
 * @throws AGENT_JOIN_INCOMPLETE, AGENT_IDENTITY_DAMAGED
 */
export async function openHostIdentity(host: Host, settings: Settings): Promise<AgentIdentity | undefined> {
  const { roles, token, controlUrls } = settings;
  if (
    roles.includes("registry") ||
    !roles.some((role) => role === "agent" || role === "gateway") ||
    token !== undefined
  )
    return undefined;
  const { openAgentIdentity } = await import("#agent");
  // The default is plain HTTP on loopback, which an identity is not for: then the members are those of the join.
  const urls = controlUrls.every((url) => url.startsWith("https:")) ? controlUrls : undefined;
  return openAgentIdentity(host, { dataDir: agentDataDir(settings), urls });
}
