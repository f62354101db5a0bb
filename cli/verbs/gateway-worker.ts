/** `posthouse gateway-worker`: one worker of a gateway; posthouse itself starts it, and nothing else can. */
import type { Command } from "commander";

export function define(command: Command): void {
  command.action(async () => {
    const { surviveDefects, systemHost } = await import("#base/system");
    const { runGatewayWorker } = await import("#server/gateway-worker");
    await runGatewayWorker((log) => {
      const host = systemHost(log);
      surviveDefects(host);
      return host;
    });
    // What is still open belongs to nothing.
    process.exit(0);
  });
}
