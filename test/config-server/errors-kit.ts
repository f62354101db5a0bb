/** Errors that tests compare. */
import { AppError } from "#base";

/** The code of the error that this throws, and what it names; undefined: it throws none. */
export function errorOf(run: () => unknown): [string, unknown] | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [error.code, error.extra];
  }
}
