/** The resources that the pages of routes read from the server. */
import { useMemo } from "preact/hooks";
import type { RouteList, RouteTarget } from "#gateway/api";
import type { ServiceList } from "#registry/api";
import type { TrafficView } from "#traffic/api";
import { useNamespace } from "../../data/location.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import { SERVICE_STATES, serviceState, type ServiceState } from "../../data/services.ts";

/** The set and the key of the gateway's config. */
export const GATEWAY_KEY = "gateway.yaml";
export const gatewaySet = (namespace: string) => `${namespace}/gateway/default`;
export const gatewayPath = (namespace: string) => `/v1/config/${encodeURIComponent(namespace)}/gateway/default`;

export function useRouteList(): Resource<RouteList> {
  const [namespace] = useNamespace();
  const path = `/v1/gateway/routes?namespace=${encodeURIComponent(namespace)}`;
  return useResource<RouteList>(path, [`routes:${namespace}`, `config:${gatewaySet(namespace)}`]);
}

type RouteLoad = TrafficView["routes"][number];

export interface RouteLoads {
  readonly of: (route: string) => RouteLoad | undefined;
  readonly view: TrafficView | undefined;
}

export function useRouteLoads(route?: string): RouteLoads {
  const [namespace] = useNamespace();
  const only = route === undefined ? "" : `&route=${encodeURIComponent(route)}`;
  const path = `/v1/traffic?namespace=${encodeURIComponent(namespace)}&minutes=60${only}`;
  const { data } = useResource<TrafficView>(path, [`traffic:${namespace}`]);
  const loads = useMemo(() => new Map((data?.routes ?? []).map((one) => [one.route, one])), [data]);
  return { of: (name) => loads.get(name), view: data };
}

export type StateOfTargets = (targets: readonly RouteTarget[]) => ServiceState | undefined;

/** The worst state of a route's services; undefined: it has none in this namespace. */
export function useTargetStates(): StateOfTargets {
  const [namespace] = useNamespace();
  const path = `/v1/services?namespace=${encodeURIComponent(namespace)}`;
  const { data } = useResource<ServiceList>(path, [`services:${namespace}`]);
  const states = useMemo(
    () => new Map((data?.services ?? []).map((service) => [service.service, serviceState(service)])),
    [data],
  );
  return (targets) => {
    const found = targets.flatMap(({ service, namespace: within }) => {
      if (service === undefined || within !== namespace || !data) return [];
      return [states.get(service) ?? "empty"];
    });
    // A service without instances is as bad for a route as one that is down.
    const rank = (state: ServiceState) => (state === "empty" ? 0.5 : SERVICE_STATES.indexOf(state));
    return found.toSorted((one, other) => rank(one) - rank(other))[0];
  };
}
