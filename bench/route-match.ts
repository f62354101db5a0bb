/**
 * The duration of a match among five thousand routes of every kind, and of building their table. In one thread, without sockets: the median
 * of batches of a thousand matches, each of another request.
 */
import type { RouteConfig } from "#gateway/api";
import { checkGatewayConfig } from "../gateway/core/check/config.ts";
import type { MatchHead } from "../gateway/core/routing/conditions.ts";
import { compileTable, matchRoute } from "../gateway/core/routing/table.ts";
import { percentiles, round, spread } from "./kit.ts";

const ROUTES = 5_000;
const BATCH = 1_000;
const BATCHES = 400;

/**
 * Half prefixes, the rest exact paths and templates under one first segment; some by host, header and method; 20
 * regexes.
 */
function routes(): RouteConfig[] {
  return Array.from({ length: ROUTES }, (_, index): RouteConfig => {
    const at = `/api/v${index % 3}/service-${index}`;
    const path =
      index % 250 === 0
        ? { regex: `${at}/[0-9]+/items` }
        : index % 4 === 1
          ? { exact: `${at}/status` }
          : index % 4 === 2
            ? { template: `${at}/{id}/items/{item}` }
            : { prefix: at };
    return {
      name: `r${index}`,
      match: {
        path,
        ...(index % 5 === 0 ? { hosts: [`h${index % 50}.example`] } : {}),
        ...(index % 7 === 0 ? { methods: ["GET"] } : {}),
        ...(index % 11 === 0 ? { headers: [{ name: "x-version", exact: "2" }] } : {}),
      },
      service: "s",
    };
  });
}

function heads(): MatchHead[] {
  return Array.from({ length: BATCH }, (_, index) => {
    const route = (index * 37) % ROUTES;
    const rest = route % 250 === 0 ? "/12/items" : ["/deep/er/path", "/status", "/7/items/9", "/x"][route % 4];
    return {
      host: route % 5 === 0 ? `h${route % 50}.example` : "other.example",
      path: index % 20 === 0 ? `/nothing/here/${index}` : `/api/v${route % 3}/service-${route}${rest}`,
      method: "GET",
      query: "",
      client: "10.0.0.1",
      listener: "default",
      scheme: "http",
      header: (name) => (name === "x-version" ? ["2"] : []),
    };
  });
}

export async function benchRouteMatch(): Promise<object> {
  const config = { routes: routes() };
  const startedCheck = performance.now();
  const { problems } = checkGatewayConfig(config);
  if (problems.length > 0) throw new Error(problems[0]?.message);
  const checkMs = performance.now() - startedCheck;
  const startedBuild = performance.now();
  const table = compileTable(config, { namespace: "default" });
  const buildMs = performance.now() - startedBuild;
  const asked = heads();
  const batches: number[] = [];
  let found = 0;
  for (let batch = 0; batch < BATCHES; batch++) {
    const started = performance.now();
    for (const head of asked) if (matchRoute(table, head).route) found++;
    batches.push(((performance.now() - started) * 1_000) / BATCH);
  }
  // The first quarter warms the compiler up.
  const warm = batches.slice(BATCHES / 4);
  const single: number[] = [];
  for (let i = 0; i < 50_000; i++) {
    const started = process.hrtime.bigint();
    matchRoute(table, asked[i % BATCH] as MatchHead);
    single.push(Number(process.hrtime.bigint() - started) / 1_000);
  }
  return {
    routes: ROUTES,
    matchedPercent: round((found * 100) / (BATCHES * BATCH)),
    microsPerMatch: spread(warm),
    microsOfOne: percentiles(single),
    checkMs: round(checkMs),
    buildMs: round(buildMs),
  };
}

if (import.meta.main) console.log(JSON.stringify(await benchRouteMatch(), null, 2));
