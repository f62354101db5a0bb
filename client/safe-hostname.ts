/** The name of this machine, as the names of subscribers and instances may contain it. */
import { hostname } from "node:os";

/** Characters that leave space for a process id or a port. */
const CHARS_MAX = 100;

export function safeHostname(): string {
  const safe = hostname().replaceAll(/[^A-Za-z0-9._-]/g, "-");
  return (/^[A-Za-z0-9]/.test(safe) ? safe : `host${safe}`).slice(0, CHARS_MAX);
}
