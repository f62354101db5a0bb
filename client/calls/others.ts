/** Calls about shared limits, and how gateways handle a request. */
import type { ExplainAnswer, ExplainRequest, GatewayCheckAnswer, GatewayCheckRequest, RouteList } from "#gateway/api";
import type { ChangeList, ChangeQueryParameters } from "#timeline/api";
import type { TrafficReport } from "#traffic/api";
import type { QuotaAnswer, QuotaRequest } from "#quotas/api";
import { enc, type Caller, type CallOptions } from "./caller.ts";

/** Facts that a server reports about itself. */
export interface ServerCard {
  readonly name: string;
  readonly version: string;
}
/** Whether a server is ready, and the reasons when it is not. */
export interface Readiness {
  readonly status: string;
  readonly reasons?: readonly string[];
}

/** Limits that gateways share. */
export function quotaCalls(caller: Caller) {
  return {
    /** Leases parts of limits that several processes share. */
    lease: (namespace: string, body: QuotaRequest, options: CallOptions = {}) =>
      caller.call<QuotaAnswer>("POST", `/v1/gateway/quotas?namespace=${enc(namespace)}`, body, options),
  };
}

/** Explanations of requests. */
export function gatewayCalls(caller: Caller) {
  return {
    /** Explains how the gateways of a namespace would handle a request. */
    explain: (body: ExplainRequest, options: CallOptions = {}) =>
      caller.call<ExplainAnswer>("POST", "/v1/gateway/explain", body, options),
    /** Lists the routes of a namespace in the order in which gateways compare them. */
    routes: (namespace: string, options: CallOptions = {}) =>
      caller.call<RouteList>("GET", `/v1/gateway/routes?namespace=${enc(namespace)}`, undefined, options),
    /** Checks a config as a release would be, and explains a request by it. */
    check: (body: GatewayCheckRequest, options: CallOptions = {}) =>
      caller.call<GatewayCheckAnswer>("POST", "/v1/gateway/check", body, options),
  };
}

/** Reports of the calls of processes. */
export function trafficCalls(caller: Caller) {
  return {
    report: (namespace: string, body: TrafficReport, options: CallOptions = {}) =>
      caller.call<void>("POST", `/v1/traffic?namespace=${enc(namespace)}`, body, options),
  };
}

/** Recent changes. */
export function timelineCalls(caller: Caller) {
  return {
    /** Lists changes, the newest first. */
    changes: (query: ChangeQueryParameters = {}, options: CallOptions = {}) => {
      const given = Object.entries(query).flatMap(([name, value]) =>
        [value ?? []].flat().map((one) => `${name}=${enc(String(one))}`),
      );
      return caller.call<ChangeList>("GET", `/v1/changes?${given.join("&")}`, undefined, options);
    },
  };
}

/** The answering server itself. */
export function systemCalls(caller: Caller) {
  return {
    card: (options: CallOptions = {}) => caller.call<ServerCard>("GET", "/", undefined, options),
    /** @throws HTTP_UNAVAILABLE with the reasons while the server is not ready */
    ready: (options: CallOptions = {}) => caller.call<Readiness>("GET", "/readyz", undefined, options),
    /** An answer with its headers, for calls that need a condition or the server's time. */
    answer: <T>(method: "GET" | "PUT", path: string, body?: unknown, headers: Record<string, string> = {}) =>
      caller.answer<T>(method, path, body, {}, headers),
  };
}
