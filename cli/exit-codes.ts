/** The exit codes of commands, and the code of an error. Scripts branch on them, so a meaning never changes. */
import { AppError } from "#base";

/** `lock` and `exec` return the exit code of their command; `--exit-code` returns 1 for a difference, as git does. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  auth: 4,
  conflict: 5,
  unreachable: 6,
  interrupted: 130,
} as const;

/** By HTTP status, which every error has. Other statuses are plain failures. */
const BY_STATUS: ReadonlyMap<number, number> = new Map([
  [400, EXIT.usage],
  [401, EXIT.auth],
  [403, EXIT.auth],
  [404, EXIT.notFound],
  [408, EXIT.unreachable],
  [409, EXIT.conflict],
  [412, EXIT.conflict],
  [429, EXIT.unreachable],
  [503, EXIT.unreachable],
  [504, EXIT.unreachable],
]);

export function exitOf(error: unknown): number {
  return error instanceof AppError ? (BY_STATUS.get(error.status) ?? EXIT.failed) : EXIT.failed;
}
