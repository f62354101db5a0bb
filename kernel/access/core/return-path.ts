/** Where a browser goes after it signed in: a path of the console, and never an address elsewhere. Pure. */

export const CONSOLE_HOME = "/ui/";
/** Characters of a path with its query: far more than any page of the console needs. */
const PATH_MAX = 1_024;
/** A path of the console. Without backslashes, which browsers read as slashes, and without control characters, which they drop. */
const CONSOLE_PATH = /^\/ui(?:\/(?!api\/)[!-[\]-~]*)?$/;

/** The path itself when it is a page of the console, else the console's first page. */
export function returnPath(asked: string | undefined): string {
  if (asked === undefined || asked.length > PATH_MAX || !CONSOLE_PATH.test(asked)) return CONSOLE_HOME;
  // The browser resolves dots and slashes. The result must still be a page of the console.
  const base = "http://this-host.invalid";
  const url = URL.canParse(asked, base) ? new URL(asked, base) : undefined;
  const isHere = url?.origin === base && /^\/ui(\/(?!\/|api\/)|$)/.test(url.pathname);
  return isHere ? `${url.pathname}${url.search}${url.hash}` : CONSOLE_HOME;
}
