/** A registry instance, as far as a gateway needs it. */

/** As much of a registry instance as a gateway needs. The registry's `Instance` is one. */
export interface CatalogInstance {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly weight: number;
  readonly lifecycle: "starting" | "serving" | "draining" | "stopped";
  readonly status: "passing" | "warning" | "critical" | "unknown";
  readonly metadata?: Readonly<Record<string, string>>;
  readonly zone?: string | undefined;
  /** How long its service keeps an idle connection, by its policy; what the instance itself says goes before. */
  readonly keepAliveMs?: number;
  /** The DNS name that the address is of. */
  readonly name?: string;
}
