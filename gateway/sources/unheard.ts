/** The client of a gateway that has no control plane: nothing is ever heard, and nothing is asked. */
import type { GatewayClient } from "../settings.ts";

/** Yields nothing, and ends with the signal. */
async function* silence(signal: AbortSignal): AsyncGenerator<never> {
  const { promise, resolve } = Promise.withResolvers<readonly never[]>();
  const end = () => resolve([]);
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  yield* await promise;
}

export const unheard: GatewayClient = {
  registry: { watch: (_query, { signal }) => silence(signal) },
  config: {
    watch: (_name, { signal }) => silence(signal),
    acknowledger: () => () => {},
    effectiveOtherThan: async () => undefined,
  },
};
