/**
 * Keeps a socket alive when a write on it fails. The other end takes no more, but may have answered before it closed;
 * Node would destroy the socket at once, with the answer that waits to be read.
 */
import type { Socket } from "node:net";

type Done = (error?: Error | null) => void;

/** `onFailed` is called for each write that fails, in place of the socket's end. Reading goes on, to its own end or error. */
export function guardWrites(socket: Socket, onFailed: () => void): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  // A stream has one write under way at a time.
  let done: Done | undefined;
  const settle: Done = (error) => {
    const settled = done;
    done = undefined;
    if (error) onFailed();
    settled?.();
  };
  socket._write = (chunk: unknown, encoding, callback) => {
    done = callback;
    write(chunk, encoding, settle);
  };
  if (!writev) return;
  socket._writev = (chunks, callback) => {
    done = callback;
    writev(chunks, settle);
  };
}
