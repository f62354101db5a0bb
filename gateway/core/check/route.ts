/** The problems of one route beyond its shape. */
import { policyProblems } from "./access.ts";
import { matchProblems } from "./match.ts";
import { changeProblems } from "./rewriting.ts";
import type { ConfigProblem, RouteConfig } from "../../api.ts";
import { isGatewayOwn } from "../decision/headers.ts";
import type { RouteContext, Problems } from "./problems.ts";

export function* routeProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  if (route.name === "none") {
    yield { pointer: `${pointer}/name`, message: '"none" is reserved: metrics use it for requests without a route.' };
  }
  const before: ConfigProblem[] = [...matchProblems(route, pointer)];
  yield* before;
  const { listeners = [] } = route;
  for (const [at, name] of listeners.entries()) {
    if (!context.listeners.has(name))
      yield {
        pointer: `${pointer}/listeners/${at}`,
        message: `Unknown listener "${name}". Add it to listeners, or use one of its names.`,
      };
    if (listeners.indexOf(name) !== at)
      yield { pointer: `${pointer}/listeners/${at}`, message: `"${name}" is listed twice.` };
  }
  yield* targetProblems(route, pointer, context);
  // Variables come from the path. With an invalid path, each of them would be reported as missing.
  if (before.length === 0) yield* changeProblems(route, pointer, context);
  yield* policyProblems(route, pointer, context);
}

/** Problems of the destination: it must be exactly one, and its clusters must exist. */
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
      yield {
        pointer: `${at}/cluster`,
        message: `Unknown cluster "${backend.cluster}". Add it to clusters, or use one of its names.`,
      };
    }
  }
  if (split && !split.some(({ when, weight = 1 }) => !when && weight > 0)) {
    yield {
      pointer: `${pointer}/split`,
      message: "At least one part needs a weight and no when, for requests that no other part matches.",
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
        message: `The gateway answers this route itself, so ${name} has no effect. Remove it.`,
      };
    }
  }
  const { deadlineHeader, timeouts } = route;
  if (deadlineHeader !== undefined) {
    const at = `${pointer}/deadlineHeader`;
    if (timeouts?.totalMs === undefined)
      yield { pointer: at, message: "deadlineHeader needs timeouts.totalMs. Add it, or remove deadlineHeader." };
    if (isGatewayOwn(deadlineHeader.toLowerCase())) {
      yield {
        pointer: at,
        message: `"${deadlineHeader}" belongs to the gateway or to the connection. Use another header.`,
      };
    }
  }
  if (route.splitBy && (!split || Object.keys(route.splitBy).length !== 1)) {
    yield {
      pointer: `${pointer}/splitBy`,
      message: "splitBy needs a split, and exactly one of header, cookie and by.",
    };
  }
}
