/** Questions to the agent of this host, over its Unix socket. */
import { join } from "node:path";
import { CliErrors } from "./errors.ts";

/** Milliseconds that the agent may take. */
const ANSWER_MS_MAX = 5_000;

/** @throws CLI_AGENT_AWAY */
export async function askAgent<Answer>(
  { agentSocket, data }: { readonly agentSocket?: string | undefined; readonly data: string },
  path: string,
): Promise<Answer> {
  const socketPath = agentSocket ?? join(data, "agent", "agent.sock");
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
