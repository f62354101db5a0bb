/**
 * A route's rules for ambiguous paths: those with an encoded slash, or with a path parameter before the last segment. By
 * default such a request is rejected. `report` forwards and logs it; `keep` forwards it.
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

/** The refusal of a request's path, or the parts of it to report. `route` undefined: no route matches. */
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
      const way = route ? ` Route "${route.name}" can allow it with paths.${doubt}.` : "";
      return refuse("PATH_INVALID", `${WORDS[doubt]}${way}`, { route });
    }
    if (mode === "report") reports.push(doubt);
    else if (doubt === "encodedSlash" && route && !leadsTo(table, head, route)) {
      const detail = "With the slash decoded, the path belongs to another route.";
      return refuse("PATH_INVALID", detail, { route });
    }
  }
  return reports;
}

/** A service that decodes the slash reads another path, which must belong to the same route. */
function leadsTo(table: RouteTable, head: RequestHead, route: CompiledRoute): boolean {
  return matchRoute(table, { ...head, path: head.path.replaceAll("%2F", "/") }).route === route;
}
