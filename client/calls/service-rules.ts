/** Calls about the rules between services. */
import type { ServiceRulesAnswer, ServiceRulesCheckAnswer, ServiceRulesCheckRequest } from "#sidecar/api";
import { queryOf, type Caller, type CallOptions } from "./caller.ts";

export interface RulesQuestion {
  readonly namespace: string;
  /** With `to`: what happens with this call. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export function serviceRuleCalls(caller: Caller) {
  return {
    /** The rules in force, and their verdict on the calls of the last hour. */
    get: ({ namespace, from, to }: RulesQuestion, options: CallOptions = {}) => {
      const call = from === undefined || to === undefined ? {} : { from, to };
      const query = queryOf({ namespace, ...call });
      return caller.call<ServiceRulesAnswer>("GET", `/v1/service-rules?${query}`, undefined, options);
    },
    /** The same for a text that is not released. */
    check: (body: ServiceRulesCheckRequest, options: CallOptions = {}) =>
      caller.call<ServiceRulesCheckAnswer>("POST", "/v1/service-rules/check", body, options),
  };
}
