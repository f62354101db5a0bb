/** Calls about tokens, policies, bindings, sign-ins, and the caller itself. */
import type {
  AclCheck,
  AclCheckQuery,
  Binding,
  BindingBody,
  BindingList,
  CallerInfo,
  IssuedToken,
  PolicyBody,
  PolicyList,
  PolicySummary,
  ServiceToken,
  ServiceTokenRequest,
  SignInLink,
  SignInSummaries,
  TokenList,
  TokenRequest,
  TokenRotation,
} from "#access/api";
import type { DenialList } from "#authorization/api";
import { enc, queryOf, type Caller, type CallOptions } from "./caller.ts";

/** The revision that a change expects: 0 if there must be nothing, absent if it does not matter. */
export interface ExpectedRevision {
  readonly ifRevision?: number | undefined;
}

/** Tokens of the control API, and the caller itself. */
export function tokenCalls(caller: Caller) {
  return {
    /** The caller, and what it may do. */
    me: (options: CallOptions = {}) => caller.call<CallerInfo>("GET", "/v1/me", undefined, options),
    /** A link that signs in a browser once, as the caller. @throws ACCESS_LINK_NOT_ALLOWED */
    signInLink: (options: CallOptions = {}) => caller.call<SignInLink>("POST", "/v1/sign-in-links", undefined, options),
    tokens: (options: CallOptions = {}) => caller.call<TokenList>("GET", "/v1/tokens", undefined, options),
    /** The answer contains the token, which is never shown again. */
    issueToken: (body: TokenRequest, options: CallOptions = {}) =>
      caller.call<IssuedToken>("POST", "/v1/tokens", body, options),
    /** A new secret for a token. The previous one stays valid for a while. @throws ACCESS_TOKEN_NOT_FOUND */
    rotateToken: (id: string, body: TokenRotation = {}, options: CallOptions = {}) =>
      caller.call<IssuedToken>("POST", `/v1/tokens/${enc(id)}/rotations`, body, options),
    /** @throws ACCESS_TOKEN_NOT_FOUND */
    revokeToken: (id: string, options: CallOptions = {}) =>
      caller.call<void>("DELETE", `/v1/tokens/${enc(id)}`, undefined, options),
    /** A short-lived token for a program on the caller's host. @throws HTTP_FORBIDDEN, ACCESS_SERVICE_TOKENS_FULL */
    serviceToken: (body: ServiceTokenRequest, options: CallOptions = {}) =>
      caller.call<ServiceToken>("POST", "/v1/service-tokens", body, options),
    signIns: (options: CallOptions = {}) => caller.call<SignInSummaries>("GET", "/v1/sign-ins", undefined, options),
    /** @throws ACCESS_SIGN_IN_NOT_FOUND */
    endSignIn: (id: string, options: CallOptions = {}) =>
      caller.call<void>("DELETE", `/v1/sign-ins/${enc(id)}`, undefined, options),
    ...policyCalls(caller),
  };
}

function policyCalls(caller: Caller) {
  const change = <T>(method: "PUT" | "DELETE", path: string, body: unknown, { ifRevision }: ExpectedRevision) =>
    caller.answer<T>(method, path, body, {}, conditionOf(ifRevision)).then((answer) => answer.body);
  return {
    policies: (options: CallOptions = {}) => caller.call<PolicyList>("GET", "/v1/policies", undefined, options),
    /** @throws ACCESS_POLICY_NOT_FOUND */
    policy: (name: string, options: CallOptions = {}) =>
      caller.call<PolicySummary>("GET", `/v1/policies/${enc(name)}`, undefined, options),
    /** @throws ACCESS_POLICY_INVALID, ACCESS_POLICY_BUILT_IN, ACCESS_LOCKOUT, ACCESS_EXCEEDS_OWN, ACCESS_CHANGED */
    setPolicy: (name: string, body: PolicyBody, expected: ExpectedRevision = {}) =>
      change<PolicySummary>("PUT", `/v1/policies/${enc(name)}`, body, expected),
    /** @throws ACCESS_POLICY_IN_USE, ACCESS_POLICY_NOT_FOUND, ACCESS_POLICY_BUILT_IN, ACCESS_CHANGED */
    deletePolicy: (name: string, expected: ExpectedRevision = {}) =>
      change<void>("DELETE", `/v1/policies/${enc(name)}`, undefined, expected),
    bindings: (options: CallOptions = {}) => caller.call<BindingList>("GET", "/v1/bindings", undefined, options),
    /** @throws ACCESS_POLICY_NOT_FOUND, ACCESS_EXCEEDS_OWN, ACCESS_CHANGED */
    setBinding: (subject: string, body: BindingBody, expected: ExpectedRevision = {}) =>
      change<Binding>("PUT", `/v1/bindings/${enc(subject)}`, body, expected),
    /** @throws ACCESS_BINDING_NOT_FOUND, ACCESS_CHANGED */
    deleteBinding: (subject: string, expected: ExpectedRevision = {}) =>
      change<void>("DELETE", `/v1/bindings/${enc(subject)}`, undefined, expected),
    /** Requests that this server refused lately. */
    denials: (options: CallOptions = {}) => caller.call<DenialList>("GET", "/v1/acl/denials", undefined, options),
    /** Whether the caller, or another subject, may do an action, and why. */
    aclCheck: (query: AclCheckQuery, options: CallOptions = {}) =>
      caller.call<AclCheck>("GET", `/v1/acl/check?${queryOf(query)}`, undefined, options),
  };
}

function conditionOf(revision: number | undefined): Record<string, string> {
  if (revision === undefined) return {};
  return revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
}
