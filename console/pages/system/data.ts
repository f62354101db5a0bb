/** Readings of the page: readiness, whose refusal is an answer; all instances of a namespace; and figures that no feed reports. */
import type { Instance, InstanceList, ServiceList } from "#registry/api";
import { ApiProblem, readApi } from "../../data/api.ts";
import { reasonsIn } from "./core.ts";

export interface Readiness {
  readonly isReady: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  /** Functions that are unavailable while the rest works. */
  readonly degraded: readonly string[];
}

export async function readReadiness(path: string, abort: AbortSignal): Promise<Readiness> {
  try {
    const { degraded = [] } = await readApi<{ readonly degraded?: readonly string[] }>(path, abort);
    return { isReady: true, reasons: [], degraded };
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 503) throw error;
    return { isReady: false, reasons: reasonsIn(error.message), degraded: [] };
  }
}

/** Requests at once: enough to hide the latency, few enough for a browser's connections. */
const SERVICES_AT_A_TIME = 6;

/** @param path of the list of services, with its namespace in the query */
export async function readInstances(path: string, abort: AbortSignal): Promise<readonly Instance[]> {
  const { services } = await readApi<ServiceList>(path, abort);
  const query = path.slice(path.indexOf("?"));
  const found: Instance[] = [];
  for (let at = 0; at < services.length; at += SERVICES_AT_A_TIME) {
    const some = services.slice(at, at + SERVICES_AT_A_TIME);
    const lists = await Promise.all(
      some.map(({ service }) =>
        readApi<InstanceList>(`/v1/services/${encodeURIComponent(service)}/instances${query}`, abort),
      ),
    );
    for (const { instances } of lists) found.push(...instances);
  }
  return found;
}
