/** Runs one worker of a gateway; posthouse itself starts it, and nobody else can. */
import { systemHost } from "#base/system";
import { runGatewayWorker } from "#server/gateway-worker";

export async function gatewayWorker(): Promise<void> {
  await runGatewayWorker((logLevel) => systemHost({ logLevel }));
  // Whatever is still open belongs to nobody.
  process.exit(0);
}
