/**
 * Assertions of the cores: rules that only a fault of posthouse itself can break, never a caller's input. A broken rule
 * throws, so that the request or the task ends with an error in the log and wrong state goes no further.
 */

/** A broken rule of a core. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** @throws InvariantError unless the condition is true. For checks of constant cost: on in production, too. */
export function invariant(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new InvariantError(`posthouse broke a rule of its own: ${rule}`);
}

/** Tests set it, in their own process and in every process that they start. */
const CHECKS_COSTLY_RULES = process.env["NODE_ENV"] === "test";

/** Like `invariant`, for checks whose cost grows with the data: on in tests only. */
export function costlyInvariant(check: () => boolean, rule: string): void {
  if (CHECKS_COSTLY_RULES) invariant(check(), rule);
}
