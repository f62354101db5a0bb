/** The parts that all lanes share. */
import type { Host } from "#base";
import type { Pressure } from "../core/limits/overload.ts";
import type { GatewaySnapshot } from "../core/decision/pipeline.ts";
import type { Chain } from "../answers/chain.ts";
import type { TokenVerifier } from "../tokens/jwt.ts";
import type { GatewaySettings } from "../settings.ts";
import type { QuotaLeases } from "../sources/quota-leases.ts";
import type { AccessLog } from "./access-log.ts";
import type { GatewayMetrics } from "./telemetry.ts";

export interface LaneParts {
  readonly host: Host;
  readonly settings: GatewaySettings;
  readonly metrics: GatewayMetrics;
  readonly accessLog: AccessLog;
  readonly tokens: TokenVerifier;
  readonly leases: QuotaLeases;
  /** The upstream, with the steps before it. */
  readonly chain: Chain;
  snapshot(): GatewaySnapshot;
  /** The load of this process. */
  pressure(): Pressure;
  /** True once the gateway stops. Connections then end with their current answer. */
  stopping(): boolean;
  /**
   * The number of exchanges in progress, in all lanes. A number and not a Set of them: a Set with constant additions
   * and deletions leaves a chain of outgrown tables, and one of them in the old generation keeps all later exchanges
   * alive through young collections (measured: 16 ms each instead of 2).
   */
  readonly inFlight: { count: number };
}
