/** `posthouse services watch [SERVICE]`: one line per change of an instance. */
import type { Command } from "commander";
import type { Instance, ServiceDelta } from "#registry/api";
import { withNamespace } from "../namespace.ts";
import { controlAction } from "../control-verb.ts";
import { eventWriter, withEventOutput } from "../event-lines.ts";
import { addressText } from "../instance-columns.ts";
import { withExamples } from "../options.ts";
import { exitOfStop } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

interface CatalogEvent {
  readonly time: string;
  readonly event: "present" | "registered" | "changed" | "status" | "lifecycle" | "deregistered";
  readonly service: string;
  readonly instance: string;
  readonly status: string;
  readonly lifecycle: string;
  readonly address: string;
}

export function define(command: Command, context: VerbContext): void {
  withEventOutput(withNamespace(command, "the services"));
  withExamples(command, ["posthouse services watch", "posthouse services watch orders -o ndjson"]);
  controlAction(command, context, async ({ client, args: [service], options, terminal }) => {
    const signal = terminal.stopSignal();
    const write = eventWriter<CatalogEvent>(terminal, options, [
      ["TIME", ({ time }) => time, 24],
      ["EVENT", ({ event }) => event, 12],
      ["SERVICE", (event) => event.service, 16],
      ["INSTANCE", ({ instance }) => instance, 20],
      ["STATUS", ({ status }) => status, 8],
      ["LIFECYCLE", ({ lifecycle }) => lifecycle, 9],
      ["ADDRESS", ({ address }) => address, 21],
    ]);
    const known = new Map<string, Instance>();
    let isSynced = false;
    const query = {
      namespace: String(options["namespace"]),
      ...(service === undefined ? {} : { services: [service] }),
    };
    for await (const frame of client.registry.watch(query, { signal })) {
      if (frame.event === "synced") isSynced = true;
      const isData = frame.event === "snapshot" || frame.event === "delta";
      if (!isData || !frame.data) continue;
      for (const event of eventsOf(frame.data, known, isSynced)) write(event);
    }
    context.exit(exitOfStop(signal));
  });
}

function* eventsOf(delta: ServiceDelta, known: Map<string, Instance>, isSynced: boolean): Generator<CatalogEvent> {
  const of = (instance: Instance, event: CatalogEvent["event"]): CatalogEvent => ({
    time: new Date().toISOString(),
    event,
    service: instance.service,
    instance: instance.id,
    status: instance.status,
    lifecycle: instance.lifecycle,
    address: addressText(instance),
  });
  for (const instance of delta.instances) {
    const key = `${instance.service}/${instance.id}`;
    const before = known.get(key);
    known.set(key, instance);
    if (!before) yield of(instance, isSynced ? "registered" : "present");
    else if (before.status !== instance.status) yield of(instance, "status");
    else if (before.lifecycle !== instance.lifecycle) yield of(instance, "lifecycle");
    else if (before.modRevision !== instance.modRevision) yield of(instance, "changed");
  }
  for (const id of delta.removed) {
    const key = `${delta.service}/${id}`;
    const before = known.get(key);
    known.delete(key);
    if (before) yield of(before, "deregistered");
  }
}
