/** Calls about certificates, the certificate authority, join tokens and nodes. */
import type {
  AuthorityView,
  CertificateList,
  CertificateRequest,
  CertificateSummary,
  ImportRequest,
  IssuedCertificate,
  IssuedJoinToken,
  JoinTokenList,
  JoinTokenRequest,
  NodeKind,
  NodeList,
  RotationRequest,
  TrustBundle,
} from "#identity/api";
import { type Caller, type CallOptions, enc, queryOf } from "./caller.ts";

export function identityCalls(caller: Caller) {
  const get = <T>(path: string, options: CallOptions) => caller.call<T>("GET", path, undefined, options);
  const remove = (path: string, options: CallOptions) => caller.call<void>("DELETE", path, undefined, options);
  return {
    trustBundle: (options: CallOptions = {}) => get<TrustBundle>("/v1/trust-bundle", options),
    certificates: ({ spiffeId, limit, ...options }: CallOptions & { spiffeId?: string; limit?: number } = {}) =>
      get<CertificateList>(`/v1/certificates?${queryOf({ spiffeId, limit })}`, options),
    certificate: (serial: string, options: CallOptions = {}) =>
      get<CertificateSummary>(`/v1/certificates/${enc(serial)}`, options),
    /** Issues a certificate for a key that stays here. */
    issueCertificate: (body: CertificateRequest, options: CallOptions = {}) =>
      caller.call<IssuedCertificate>("POST", "/v1/certificates", body, options),
    revokeCertificate: (serial: string, options: CallOptions = {}) =>
      remove(`/v1/certificates/${enc(serial)}`, options),
    authority: (options: CallOptions = {}) => get<AuthorityView>("/v1/authority", options),
    rotateAuthority: (body: RotationRequest, options: CallOptions = {}) =>
      caller.call<AuthorityView>("POST", "/v1/authority/rotations", body, options),
    importAuthority: (body: ImportRequest, options: CallOptions = {}) =>
      caller.call<AuthorityView>("PUT", "/v1/authority", body, options),
    createJoinToken: (body: JoinTokenRequest, options: CallOptions = {}) =>
      caller.call<IssuedJoinToken>("POST", "/v1/join-tokens", body, options),
    joinTokens: (options: CallOptions = {}) => get<JoinTokenList>("/v1/join-tokens", options),
    revokeJoinToken: (id: string, options: CallOptions = {}) => remove(`/v1/join-tokens/${enc(id)}`, options),
    nodes: (options: CallOptions = {}) => get<NodeList>("/v1/nodes", options),
    removeNode: (kind: NodeKind, name: string, options: CallOptions = {}) =>
      remove(`/v1/nodes/${kind}/${enc(name)}`, options),
  };
}
