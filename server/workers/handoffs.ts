/**
 * Connections that the main process has handed to a gateway worker and that the worker has not taken yet. Node.js waits for the worker's
 * answer without end: a connection that was on its way to a process that dies would never be answered and never be closed. Here the dead
 * process answers that it did not take them, so that they go to another one. Nothing of them was read, so nothing is lost.
 * @see lib/internal/cluster/round_robin_handle.js and lib/internal/child_process.js of Node.js
 */
import type { Worker } from "node:cluster";

/** The message by which Node.js hands over a connection, and the answer of the worker. */
interface HandoffMessage {
  readonly cmd?: string;
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly accepted?: boolean;
}

/** Watches the connections that go to one worker, until it has ended. */
export function returnUntakenConnections({ process }: Worker): void {
  const untaken = new Set<number>();
  const send = process.send.bind(process) as (...values: unknown[]) => boolean;
  process.send = (...values: unknown[]) => {
    const { cmd, act, seq } = (values[0] ?? {}) as HandoffMessage;
    if (cmd === "NODE_CLUSTER" && act === "newconn" && seq !== undefined) untaken.add(seq);
    return send(...values);
  };
  process.on("internalMessage", ({ ack }: HandoffMessage) => {
    if (ack !== undefined) untaken.delete(ack);
  });
  // The process has ended, and everything that it answered has been read.
  process.once("close", () => {
    if (untaken.size === 0) return;
    // Node.js does not say this while a connection is under way, and would hand the next one to the dead process.
    process.emit("disconnect");
    for (const ack of untaken) {
      const answer: HandoffMessage = { cmd: "NODE_CLUSTER", ack, accepted: false };
      process.emit("internalMessage" as "message", answer, undefined as never);
    }
  });
}
