/** Leads while it holds a lock; the next process leads when this one ends, is killed or loses the control plane. */
import { connect } from "posthouse/client";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());

await using posthouse = connect({ app: "billing" });
while (!stop.signal.aborted) {
  try {
    await using lock = await posthouse.locks.hold("billing/leader", { sessionSeconds: 5, signal: stop.signal });
    console.log(`leads with token ${lock.token}`);
    const over = AbortSignal.any([stop.signal, lock.signal]);
    await new Promise((resolve) => over.addEventListener("abort", resolve, { once: true }));
    console.log("leads no longer");
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}
