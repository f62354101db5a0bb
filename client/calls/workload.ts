/** Calls of a workload about its own identity: joining, certificates, trusted authorities, and tokens for programs on its host. */
import type { ServiceToken, ServiceTokenRequest } from "#access/api";
import type { Host } from "#base";
import type { CertificateRequest, IssuedCertificate, JoinRequest, RenewalRequest, TrustBundle } from "#identity/api";
import { Caller, type CallOptions, type ClientOptions, type StreamOptions } from "./caller.ts";

/** Errors keep the server's code; without an answer it is CLIENT_UNREACHABLE. */
export function workloadCalls(host: Host, options: ClientOptions) {
  const caller = new Caller(host, options);
  const post = <T>(path: string, body: unknown, call: CallOptions) => caller.call<T>("POST", path, body, call);
  return {
    /** Uses a join token. @throws the IDENTITY_JOIN_ and IDENTITY_NODE_ errors */
    join: (body: JoinRequest, call: CallOptions = {}) => post<IssuedCertificate>("/v1/joins", body, call),
    /** Exchanges the certificate of a node for a new one. @throws the IDENTITY_CERTIFICATE_ errors */
    renew: (body: RenewalRequest, call: CallOptions = {}) => post<IssuedCertificate>("/v1/renewals", body, call),
    /** @throws IDENTITY_NAME_NOT_ALLOWED, IDENTITY_NO_KEYS */
    certificate: (body: CertificateRequest, call: CallOptions = {}) =>
      post<IssuedCertificate>("/v1/certificates", body, call),
    /** Every frame has the whole bundle; its `pem` is empty before there is an authority. */
    watchTrustBundle: (stream: StreamOptions) => caller.watch<TrustBundle>("/v1/watch/trust-bundle", stream),
    /** A short-lived token within the limits of the caller, for a program on its host. */
    serviceToken: (body: ServiceTokenRequest, call: CallOptions = {}) =>
      post<ServiceToken>("/v1/service-tokens", body, call),
  };
}

export type WorkloadCalls = ReturnType<typeof workloadCalls>;
