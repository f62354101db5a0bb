/** Takes an instance away for good: at once, or once everyone who sends it requests knows that it goes. */
import type { LoadedSettings } from "#settings";
import { withControlClient } from "./control-client.ts";

export interface DeregisterOptions {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  /** Seconds that a drain may take; undefined: at once. */
  readonly drainSeconds: number | undefined;
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND, and what a call may throw */
export async function deregister(
  settings: LoadedSettings,
  { namespace, service, id, drainSeconds }: DeregisterOptions,
): Promise<void> {
  const { seen, waitingFor = [] } = await withControlClient(settings, (client) =>
    client.registry.deregister({ namespace, service, id }, drainSeconds === undefined ? {} : { drainSeconds }),
  );
  const name = `${service}/${id}`;
  if (seen === undefined) process.stdout.write(`${name} is deregistered\n`);
  else if (seen) process.stdout.write(`${name} is deregistered; every subscriber had seen it drain\n`);
  else {
    process.stdout.write(`${name} is deregistered\n`);
    process.stderr.write(`not seen within ${drainSeconds} s by ${waitingFor.join(", ")}\n`);
  }
}
