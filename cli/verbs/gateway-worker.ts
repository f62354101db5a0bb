/** `posthouse gateway-worker`: one worker of a gateway. Only posthouse itself can start it. */
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
    // Resources that are still open are not needed.
    process.exit(0);
  });
}
