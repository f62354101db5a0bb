/** The client of a gateway without a control plane: its watches stay silent, and it sends no calls. */
import { whenAborted } from "#base";
import type { GatewayClient } from "../settings.ts";

/** Yields nothing, and ends with the signal. */
async function* silence(signal: AbortSignal): AsyncGenerator<never> {
  await whenAborted(signal);
  yield* [];
}

export const noControlPlane: GatewayClient = {
  registry: { watch: (_query, { signal }) => silence(signal) },
  config: {
    watch: (_name, { signal }) => silence(signal),
    acknowledger: () => () => {},
    effectiveOtherThan: async () => undefined,
  },
};
