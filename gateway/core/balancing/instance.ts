/** A registry instance, as far as a gateway needs it. */

/** The registry's `Instance` is assignable to it. */
export interface CatalogInstance {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  /** Where its sidecar accepts connections over mTLS. */
  readonly ingress?: { readonly port: number } | undefined;
  readonly weight: number;
  readonly lifecycle: "starting" | "serving" | "draining" | "stopped";
  readonly status: "passing" | "warning" | "critical" | "unknown";
  readonly metadata?: Readonly<Record<string, string>>;
  readonly zone?: string | undefined;
  /** How long an idle connection is kept, by the service's policy; the instance's own metadata overrides it. */
  readonly keepAliveMs?: number;
  /** The DNS name that resolved to the address. */
  readonly name?: string;
}
