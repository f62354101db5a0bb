/**
 * The certificates of the services of this host, as the sidecar needs them. The agent's certificate keeper makes the keys, requests
 * the certificates by CSR, and renews them; without one, services of this host have no ingress and no upstreams over mTLS.
 */
import type { IdentitySource } from "#identity/core";

export interface ServiceIdentities {
  /**
   * The identity of a service, kept current until it is released. Two holders of one name share one certificate.
   * `current` stays undefined while the control plane refuses or does not answer.
   */
  hold(name: { readonly namespace: string; readonly service: string }): HeldIdentity;
}

/** For an agent without a certificate of its own. */
export const NO_SERVICE_IDENTITIES: ServiceIdentities = {
  hold: () => ({
    source: { current: undefined, onChange: () => () => {} },
    problem: "this agent has no certificate of its own: join it with `posthouse agent join`",
    release: () => {},
  }),
};

export interface HeldIdentity {
  readonly source: IdentitySource;
  /** Why a certificate is missing, or why the last renewal failed. */
  readonly problem: string | undefined;
  release(): void;
}
