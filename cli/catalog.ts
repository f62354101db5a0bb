/** Reading the catalog, for several listings. */
import type { ControlCalls } from "#client/light";
import type { Instance } from "#registry/api";

/** Concurrent requests for services: enough to hide the latency, few enough for a small server. */
const SERVICES_AT_A_TIME = 16;

export interface InNamespace {
  readonly namespace: string;
}

/** The instances of one service, or of every service. */
export async function instancesOf(client: ControlCalls, namespace: string, service?: string): Promise<Instance[]> {
  if (service !== undefined) return (await client.registry.instances({ namespace, service })).instances;
  const { services } = await client.registry.services(namespace);
  const found: Instance[] = [];
  for (let at = 0; at < services.length; at += SERVICES_AT_A_TIME) {
    const lists = await Promise.all(
      services
        .slice(at, at + SERVICES_AT_A_TIME)
        .map(({ service }) => client.registry.instances({ namespace, service })),
    );
    for (const { instances } of lists) found.push(...instances);
  }
  return found;
}

/** Ends with the signal only. */
export function catalogChanges(client: ControlCalls, namespace: string, signal: AbortSignal): AsyncIterable<unknown> {
  return client.registry.watch({ namespace }, { signal });
}
