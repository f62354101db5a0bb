/**
 * What a route says of paths that services read in two ways: an encoded slash, and a path parameter in a segment before
 * the last. By default such a request is refused. `report` lets it pass and logs it; `keep` lets it pass.
 */
import type { RequestHead } from "../request/head.ts";
import type { PathDoubt } from "../paths/path.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { CompiledRoute } from "../routing/route.ts";
import { matchRoute, type RouteTable } from "../routing/table.ts";

const NO_REPORTS: readonly PathDoubt[] = [];

const WORDS: Readonly<Record<PathDoubt, string>> = {
  encodedSlash: "The path has an encoded slash.",
  parameters: "The path has a path parameter before its last segment.",
};

/** The refusal of a request's path, or what of it is to be reported. `route` undefined: none takes the request. */
export function pathVerdict(
  table: RouteTable,
  head: RequestHead,
  route: CompiledRoute | undefined,
): Refuse | readonly PathDoubt[] {
  if (!head.doubts) return NO_REPORTS;
  const reports: PathDoubt[] = [];
  for (const doubt of head.doubts) {
    const mode = route?.paths[doubt] ?? "refuse";
    if (mode === "refuse") {
      const way = route ? ` Route "${route.name}" can allow it by paths.${doubt}.` : "";
      return refuse("PATH_INVALID", `${WORDS[doubt]}${way}`, { route });
    }
    if (mode === "report") reports.push(doubt);
    else if (doubt === "encodedSlash" && route && !leadsTo(table, head, route)) {
      const detail = "With its slash decoded the path is another route's.";
      return refuse("PATH_INVALID", detail, { route });
    }
  }
  return reports;
}

/** A service that decodes the slash reads a path that must not be of a route with other rules. */
function leadsTo(table: RouteTable, head: RequestHead, route: CompiledRoute): boolean {
  return matchRoute(table, { ...head, path: head.path.replaceAll("%2F", "/") }).route === route;
}
