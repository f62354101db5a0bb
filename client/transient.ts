/** Which errors of a call are worth another try. */
import { AppError } from "#base";

/** Statuses below 500 after which the same call may succeed: a timeout, too early, too many requests. */
const TRANSIENT_STATUSES = new Set([408, 425, 429]);

/** Whether the same call may succeed later: the server did not answer, is not ready, or asks to wait. */
export function isTransient(error: unknown): boolean {
  return !(error instanceof AppError) || error.status >= 500 || TRANSIENT_STATUSES.has(error.status);
}
