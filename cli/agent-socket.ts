/** Questions to the agent of this host, over its Unix socket. */
import { join } from "node:path";
import { CliErrors } from "./errors.ts";

/** Milliseconds that the agent may take. */
const ANSWER_MS_MAX = 5_000;

/** The settings that name the socket. */
interface SocketSettings {
  readonly agentSocket?: string | undefined;
  readonly data: string;
}

export function agentSocketPath({ agentSocket, data }: SocketSettings): string {
  return agentSocket ?? join(data, "agent", "agent.sock");
}

/** @throws CLI_AGENT_AWAY */
export async function askAgent<Answer>(settings: SocketSettings, path: string): Promise<Answer> {
  const socketPath = agentSocketPath(settings);
  const { fetchTransport } = await import("#client");
  await using transport = fetchTransport({ urls: ["http://localhost"], socketPath });
  try {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const answer = await transport.request({ method: "GET", path, signal });
    return JSON.parse(await answer.text()) as Answer;
  } catch (cause) {
    throw CliErrors.AGENT_AWAY(
      `No agent answers at ${socketPath}. Start one with \`posthouse agent run\`, or give its data folder with --data.`,
      { cause },
    );
  }
}
