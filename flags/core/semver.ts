/**
 * Semantic versions: parsed, ordered, and compared with ranges. A version in a flag set must be complete (`2.1.0`); a version
 * that an app reports may lack its last parts or start with a v.
 * @see https://semver.org/spec/v2.0.0.html, §11 for the order
 */
export interface Version {
  readonly numbers: readonly [major: number, minor: number, patch: number];
  /** Identifiers after the dash; empty for a version that is not a prerelease. */
  readonly prerelease: readonly string[];
}

// Numbers of at most 15 digits are exact.
const NUMBER = "(0|[1-9]\\d{0,14})";
const REST = "(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?(?:\\+[0-9A-Za-z.-]+)?$";
const WHOLE = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}${REST}`);
const LOOSE = new RegExp(`^v?${NUMBER}(?:\\.${NUMBER})?(?:\\.${NUMBER})?${REST}`);

/** Undefined unless the text is a version. `loose` also accepts `v2` and `2.1`. */
export function parseVersion(text: string, { loose }: { loose: boolean }): Version | undefined {
  const match = (loose ? LOOSE : WHOLE).exec(text);
  if (!match) return undefined;
  const [, major = "0", minor = "0", patch = "0", prerelease] = match;
  const identifiers = prerelease?.split(".") ?? [];
  if (identifiers.some((one) => /^0\d+$/.test(one))) return undefined;
  return { numbers: [Number(major), Number(minor), Number(patch)], prerelease: identifiers };
}

/** Below 0, 0 or above 0. Build metadata does not count. */
export function compareVersions(a: Version, b: Version): number {
  const numbers = compareNumbers(a, b);
  if (numbers !== 0) return numbers;
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length;
  for (const [index, left] of a.prerelease.entries()) {
    const right = b.prerelease[index];
    if (right === undefined) break;
    if (left === right) continue;
    const [isNumber, isOtherNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)];
    if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
    // Numbers have no leading zeros, so the longer one is the larger.
    return (isNumber && left.length - right.length) || (left < right ? -1 : 1);
  }
  return a.prerelease.length - b.prerelease.length;
}

function compareNumbers(a: Version, b: Version): number {
  for (const index of [0, 1, 2] as const) {
    const difference = a.numbers[index] - b.numbers[index];
    if (difference !== 0) return difference;
  }
  return 0;
}

const COMPARISON = /^(=|!=|>=|<=|>|<|\^|~)?(.+)$/;
type Comparison = (version: Version) => boolean;

/** Comparisons that must all hold, separated by spaces; or the problem. */
export function parseRange(text: string): Comparison | { readonly problem: string } {
  const comparisons: Comparison[] = [];
  for (const part of text.trim().split(/\s+/)) {
    const [, operator = "=", operand = ""] = COMPARISON.exec(part) ?? [];
    const version = parseVersion(operand, { loose: false });
    if (!version) {
      return { problem: `"${part}" is not a comparison with a semantic version; write one such as >=2.1.0.` };
    }
    comparisons.push(comparison(operator, version));
  }
  return (version) => comparisons.every((holds) => holds(version));
}

function comparison(operator: string, bound: Version): Comparison {
  switch (operator) {
    case "!=":
      return (version) => compareVersions(version, bound) !== 0;
    case ">":
      return (version) => compareVersions(version, bound) > 0;
    case ">=":
      return (version) => compareVersions(version, bound) >= 0;
    case "<":
      return (version) => compareVersions(version, bound) < 0;
    case "<=":
      return (version) => compareVersions(version, bound) <= 0;
    case "^":
    case "~": {
      const end: Version = { numbers: endOf(operator, bound.numbers), prerelease: [] };
      // By its numbers, so that 3.0.0-rc.1 is not below 3.0.0 here.
      return (version) => compareVersions(version, bound) >= 0 && compareNumbers(version, end) < 0;
    }
    default:
      return (version) => compareVersions(version, bound) === 0;
  }
}

/** As in npm: ~ allows any patch, and ^ any numbers to the right of the first nonzero one. */
function endOf(operator: "^" | "~", [major, minor, patch]: Version["numbers"]): Version["numbers"] {
  if (operator === "~") return [major, minor + 1, 0];
  if (major > 0) return [major + 1, 0, 0];
  return minor > 0 ? [0, minor + 1, 0] : [0, 0, patch + 1];
}
