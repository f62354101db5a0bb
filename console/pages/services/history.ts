/** The health history of all instances of a service, read page by page and again when the service changes. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { InstanceHistory, ServiceHistory } from "#registry/api";
import { ApiProblem, pathOf, readApi } from "../../data/api.ts";
import { onFeedChange } from "../../data/feed.ts";

export interface KnownHistory {
  readonly from: number;
  readonly to: number;
  readonly instances: ReadonlyMap<string, InstanceHistory>;
  readonly problem: ApiProblem | undefined;
}

export interface HealthHistoryResource extends KnownHistory {
  readonly reload: () => void;
}

/** Instances per page: what the server allows. */
const PAGE = 1_000;
/** Milliseconds between two reads: a history of ten thousand instances has several megabytes. */
const GAP_MS = 2_000;

const NONE: KnownHistory = { from: 0, to: 0, instances: new Map(), problem: undefined };

export function useHealthHistory(namespace: string, service: string): HealthHistoryResource {
  const reload = useRef<() => void>(() => undefined);
  const state = useSignal<KnownHistory>(NONE);
  useEffect(() => {
    const abort = new AbortController();
    let isWanted = true;
    let isReading = false;
    state.value = NONE;
    const read = async () => {
      isWanted = true;
      if (isReading) return;
      isReading = true;
      while (isWanted && !abort.signal.aborted) {
        isWanted = false;
        const next = await readHistory(namespace, service, abort.signal);
        if (abort.signal.aborted) return;
        state.value = next.problem ? { ...state.peek(), problem: next.problem } : next;
        await new Promise((resolve) => setTimeout(resolve, GAP_MS));
      }
      isReading = false;
    };
    void read();
    reload.current = () => void read();
    const stop = onFeedChange([`service:${namespace}/${service}`], () => void read());
    return () => {
      stop();
      abort.abort();
    };
  }, [namespace, service, state]);
  return { ...state.value, reload: () => reload.current() };
}

async function readHistory(namespace: string, service: string, abort: AbortSignal): Promise<KnownHistory> {
  const instances = new Map<string, InstanceHistory>();
  const path = pathOf`/v1/services/${service}/health-history?namespace=${namespace}&limit=${PAGE}`;
  let after: string | undefined;
  let [from, to] = [0, 0];
  try {
    do {
      const page = await readApi<ServiceHistory>(after === undefined ? path : path + pathOf`&after=${after}`, abort);
      [from, to] = [Date.parse(page.from), Date.parse(page.to)];
      for (const history of page.instances) instances.set(history.instance, history);
      after = page.next;
    } while (after !== undefined);
    return { from, to, instances, problem: undefined };
  } catch (error) {
    const problem = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
    return { ...NONE, problem };
  }
}
