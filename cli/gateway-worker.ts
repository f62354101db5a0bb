/** Runs one worker of a gateway; posthouse itself starts it, and nobody else can. */
import { surviveDefects, systemHost } from "#base/system";
import { runGatewayWorker } from "#server/gateway-worker";

export async function gatewayWorker(): Promise<void> {
  await runGatewayWorker((logLevel) => {
    const host = systemHost({ logLevel });
    surviveDefects(host);
    return host;
  });
  // Whatever is still open belongs to nobody.
  process.exit(0);
}
