/**
 * Keeps a socket alive when a write on it fails. The other end no longer reads, but may have answered before it closed.
 * Node would destroy the socket at once, together with the unread answer.
 */
import type { Socket } from "node:net";

type Done = (error?: Error | null) => void;

/**
 * Calls `onFailed` for each write that fails, instead of closing the socket. Reading continues until its own end or
 * error.
 */
export function guardWrites(socket: Socket, onFailed: () => void): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  // A stream has one write in progress at a time.
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
