/** Globs of policies: `*` is any number of any characters, and every other character is itself. Pure. */

/** Tests a value. Undefined: the glob matches every value. */
export type GlobTest = (value: string) => boolean;

/** Whether a glob matches a text. Only the last `*` is retried, so the time is at most the product of both lengths. */
export function matchesGlob(glob: string, text: string): boolean {
  let inGlob = 0;
  let inText = 0;
  let star = -1;
  let retry = 0;
  while (inText < text.length) {
    if (inGlob < glob.length && glob[inGlob] === "*") {
      star = inGlob++;
      retry = inText;
    } else if (inGlob < glob.length && glob[inGlob] === text[inText]) {
      inGlob++;
      inText++;
    } else if (star >= 0) {
      inGlob = star + 1;
      inText = ++retry;
    } else return false;
  }
  while (glob[inGlob] === "*") inGlob++;
  return inGlob === glob.length;
}

/** One test for several globs, of which one must match. */
export function globTest(globs: readonly string[]): GlobTest | undefined {
  if (globs.some((glob) => /^\*+$/.test(glob))) return undefined;
  const literals = new Set(globs.filter((glob) => !glob.includes("*")));
  const patterns = globs.filter((glob) => glob.includes("*"));
  if (patterns.length === 0) return (value) => literals.has(value);
  return (value) => literals.has(value) || patterns.some((glob) => matchesGlob(glob, value));
}
