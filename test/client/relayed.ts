/** The way of a gateway worker to the control plane, with both of its ends in this process. */
import type { Transport } from "#client";
import { Relay, RelayTransport } from "../../server/workers/relay.ts";

type Answer = Parameters<RelayTransport["receive"]>[0];

export function relayed(way: { readonly transport: Transport; readonly token: string }): RelayTransport {
  // The channel of two processes copies what it carries, and delivers later.
  const carry = <Message>(message: Message, hear: (message: Message) => void) =>
    new Promise<void>((resolve) => {
      const copy = structuredClone(message);
      setImmediate(() => {
        hear(copy);
        resolve();
      });
    });
  const relay: Relay = new Relay(way, (message) => carry(message, (copy) => transport.receive(copy as Answer)));
  const transport = new RelayTransport((message) => {
    void carry(message, (copy) => {
      if (copy.type === "request") void relay.take(copy);
      else if (copy.type === "abort") relay.abort(copy.id);
    });
  });
  return transport;
}
