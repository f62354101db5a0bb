/** What is wrong with one route beyond its shape, and where. */
import { policyProblems } from "./access.ts";
import { matchProblems } from "./match.ts";
import { changeProblems } from "./rewriting.ts";
import type { ConfigProblem, RouteConfig } from "../../api.ts";
import { isGatewayOwn } from "../decision/headers.ts";
import type { RouteContext, Problems } from "./problems.ts";

export function* routeProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  if (route.name === "none") {
    yield { pointer: `${pointer}/name`, message: '"none" is what metrics call requests without a route.' };
  }
  const before: ConfigProblem[] = [...matchProblems(route, pointer)];
  yield* before;
  const { listeners = [] } = route;
  for (const [at, name] of listeners.entries()) {
    if (!context.listeners.has(name))
      yield { pointer: `${pointer}/listeners/${at}`, message: `No listener "${name}".` };
    if (listeners.indexOf(name) !== at)
      yield { pointer: `${pointer}/listeners/${at}`, message: `"${name}" is there twice.` };
  }
  yield* targetProblems(route, pointer, context);
  // Variables come from the path; with a broken one each of them would be said to be missing.
  if (before.length === 0) yield* changeProblems(route, pointer, context);
  yield* policyProblems(route, pointer, context);
}

/** Where it goes: one place, and only to clusters that there are. */
function* targetProblems(route: RouteConfig, pointer: string, { clusters }: RouteContext): Problems {
  const { service, cluster, split, redirect, respond } = route;
  const given = [service, cluster, split, redirect, respond].filter((target) => target !== undefined).length;
  if (given !== 1) {
    const message =
      split || redirect || respond
        ? "Give one of service, cluster, split, redirect and respond."
        : "Give either service or cluster.";
    yield { pointer, message };
  }
  const backends = [
    { backend: { service, cluster }, at: pointer, needed: false },
    ...(split ?? []).map((backend, at) => ({ backend, at: `${pointer}/split/${at}`, needed: true })),
    ...(route.mirror ?? []).map((backend, at) => ({ backend, at: `${pointer}/mirror/${at}`, needed: true })),
  ];
  for (const { backend, at, needed } of backends) {
    if (needed && (backend.service === undefined) === (backend.cluster === undefined)) {
      yield { pointer: at, message: "Give either service or cluster." };
    }
    if (backend.cluster !== undefined && !clusters.has(backend.cluster)) {
      yield { pointer: `${at}/cluster`, message: `No cluster "${backend.cluster}" in clusters.` };
    }
  }
  if (split && !split.some(({ when, weight = 1 }) => !when && weight > 0)) {
    yield {
      pointer: `${pointer}/split`,
      message: "At least one part has a weight and no when, for all that no other takes.",
    };
  }
  const forwards = redirect === undefined && respond === undefined;
  for (const name of [
    "rewrite",
    "mirror",
    "sticky",
    "compress",
    "cache",
    "requestHeaders",
    "retry",
    "concurrency",
  ] as const) {
    if (route[name] !== undefined && !forwards) {
      yield {
        pointer: `${pointer}/${name}`,
        message: "The gateway answers this route itself; nothing goes to a service.",
      };
    }
  }
  const { deadlineHeader, timeouts } = route;
  if (deadlineHeader !== undefined) {
    const at = `${pointer}/deadlineHeader`;
    if (timeouts?.totalMs === undefined) yield { pointer: at, message: "Without timeouts.totalMs no time runs out." };
    if (isGatewayOwn(deadlineHeader.toLowerCase())) {
      yield { pointer: at, message: `"${deadlineHeader}" is not the route's to set.` };
    }
  }
  if (route.splitBy && (!split || Object.keys(route.splitBy).length !== 1)) {
    yield { pointer: `${pointer}/splitBy`, message: "Give one of header, cookie and by, to a route with a split." };
  }
}
