/** The client of a gateway that has no control plane: nothing is ever heard, and nothing is asked. */
import type { GatewayClient } from "../settings.ts";

async function* silence(signal: AbortSignal): AsyncGenerator<never> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export const unheard: GatewayClient = {
  registry: { watch: (_query, { signal }) => silence(signal) },
  config: { watch: (_name, { signal }) => silence(signal) },
};
