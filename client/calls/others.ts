/** Calls about tokens, shared limits and requests. */
import type { IssuedToken, TokenList, TokenRequest } from "#access/api";
import type { ExplainAnswer, ExplainRequest } from "#gateway/api";
import type { QuotaAnswer, QuotaRequest } from "#quotas/api";
import { enc, type Caller, type CallOptions } from "./caller.ts";

/** Tokens of the control API. */
export function tokenCalls(caller: Caller) {
  return {
    tokens: (options: CallOptions = {}) => caller.call<TokenList>("GET", "/v1/tokens", undefined, options),
    /** The answer has the token, this once. */
    issueToken: (body: TokenRequest, options: CallOptions = {}) =>
      caller.call<IssuedToken>("POST", "/v1/tokens", body, options),
    /** @throws ACCESS_TOKEN_NOT_FOUND */
    revokeToken: (id: string, options: CallOptions = {}) =>
      caller.call<void>("DELETE", `/v1/tokens/${enc(id)}`, undefined, options),
  };
}

/** Limits that gateways share. */
export function quotaCalls(caller: Caller) {
  return {
    /** Takes parts of limits that several processes share. */
    lease: (namespace: string, body: QuotaRequest, options: CallOptions = {}) =>
      caller.call<QuotaAnswer>("POST", `/v1/gateway/quotas?namespace=${enc(namespace)}`, body, options),
  };
}

/** What gateways would do. */
export function gatewayCalls(caller: Caller) {
  return {
    /** What the gateways of a namespace would do with a request, and why. */
    explain: (body: ExplainRequest, options: CallOptions = {}) =>
      caller.call<ExplainAnswer>("POST", "/v1/gateway/explain", body, options),
  };
}
