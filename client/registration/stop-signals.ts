/** Stops a service at a signal of the system, and then lets the signal end the process as it would have without us. */

/**
 * Runs `stop` at the first of these signals. Afterwards the process ends by that signal, unless the program handles the signal itself.
 * A second signal ends it at once. The returned function removes the listeners.
 */
export function onStopSignals(signals: readonly NodeJS.Signals[], stop: () => Promise<unknown>): () => void {
  const remove = () => {
    for (const signal of signals) process.off(signal, listener);
  };
  const listener = (signal: NodeJS.Signals) => {
    remove();
    const end = () => {
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    stop().then(end, end);
  };
  for (const signal of signals) process.on(signal, listener);
  return remove;
}
