/** Codes of devices as people type them. Pure. */

const LETTERS = /^[BCDFGHJKLMNPQRSTVWXZ]{8}$/;
const GROUP = 4;

/** The code as the server writes it; undefined while it is not complete. */
export function readUserCode(typed: string): string | undefined {
  const letters = typed.toUpperCase().replaceAll(/[\s-]/g, "");
  return LETTERS.test(letters) ? `${letters.slice(0, GROUP)}-${letters.slice(GROUP)}` : undefined;
}
