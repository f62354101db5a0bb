/** The methods of a path, for a request without a route: 405 with `Allow` for a known path, else 404. */
import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether the route takes the paths that no other route has, to forward them. It is not part of this server's own API. */
    isFallback?: boolean;
  }
}

export interface KnownPaths {
  /** Methods of a URL's path, in order; none for an unknown path. */
  methodsOf(url: string): string[];
}

/** Call before any route. */
export function knownPaths(app: FastifyInstance): KnownPaths {
  const routes = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();
  app.addHook("onRoute", ({ url, method, config }) => {
    if (config?.isFallback) return;
    const known = routes.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    for (const one of [method].flat()) known.methods.add(one.toUpperCase());
    routes.set(url, known);
  });
  return {
    methodsOf(url) {
      const path = url.split("?", 1)[0] ?? "";
      const found = [...routes.values()].filter(({ pattern }) => pattern.test(path));
      return [...new Set(found.flatMap(({ methods }) => [...methods]))].sort();
    },
  };
}

/** `/v1/services/:service` as a regular expression; a `*` at the end matches the rest. */
function patternOf(url: string): RegExp {
  const parts = url.split("/").map((part) => {
    if (part.startsWith(":")) return "[^/]+";
    return part === "*" ? ".*" : part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  });
  return new RegExp(`^${parts.join("/")}$`);
}
