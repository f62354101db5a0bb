/** Gateways, agents and readiness as the page shows them. Pure. */
import type { AcknowledgementList } from "#config-server/api";
import type { Instance } from "#registry/api";

export type GatewayState = "current" | "behind" | "failed" | "silent";

export interface GatewayRow {
  readonly name: string;
  readonly state: GatewayState;
  /** The release of its config that it runs. */
  readonly version: number | undefined;
  readonly isConnected: boolean;
  readonly at: string;
  readonly error: string | undefined;
}

/** The gateways of a namespace, as `posthouse gateways` lists them. */
export function gatewayRows({ subscribers, silent }: AcknowledgementList, namespace: string): readonly GatewayRow[] {
  const known = subscribers.map(({ subscriber, outcome, versions = {}, current, present, at, error }): GatewayRow => ({
    name: subscriber,
    state: outcome === "failed" ? "failed" : current ? "current" : "behind",
    version: versions[`${namespace}/gateway/default`],
    isConnected: present,
    at,
    error,
  }));
  const waiting = silent.map(({ subscriber, since }): GatewayRow => ({
    name: subscriber,
    state: "silent",
    version: undefined,
    isConnected: true,
    at: since,
    error: undefined,
  }));
  return [...known, ...waiting];
}

export interface AgentRow {
  readonly name: string;
  readonly instances: number;
  readonly passing: number;
  readonly warning: number;
  readonly critical: number;
  readonly unknown: number;
  readonly services: readonly string[];
}

/** The owners of instances, as `posthouse agents` lists them. */
export function agentRows(instances: readonly Instance[]): readonly AgentRow[] {
  return [...Map.groupBy(instances, ({ owner }) => owner)].flatMap(([name, owned]) => {
    if (name === undefined) return [];
    const count = (status: Instance["status"]) => owned.filter((one) => one.status === status).length;
    return {
      name,
      instances: owned.length,
      passing: count("passing"),
      warning: count("warning"),
      critical: count("critical"),
      unknown: count("unknown"),
      services: [...new Set(owned.map(({ service }) => service))].sort(),
    };
  });
}

/** The reasons in the detail of a 503 of /readyz: `Not ready: a; b.` */
export function reasonsIn(detail: string): readonly string[] {
  return detail
    .replace(/^Not ready: /, "")
    .replace(/\.$/, "")
    .split("; ");
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1536` as value and unit: `1.5`, `KiB`. */
export function byteParts(bytes: number): readonly [value: number, unit: string] {
  const step = bytes < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return [bytes / 1024 ** step, BYTE_UNITS[step] ?? "B"];
}

/** Days before its end at which a certificate is marked: those of posthouse's own authority are replaced at a start within the last 30. */
const CERTIFICATE_SOON_DAYS = 30;
const DAY_MS = 86_400_000;

export function isCertificateOld(
  { expiresAt, lateAt }: { readonly expiresAt: string; readonly lateAt?: string },
  nowMs: number,
): boolean {
  if (lateAt !== undefined) return nowMs >= Date.parse(lateAt);
  return Date.parse(expiresAt) - nowMs < CERTIFICATE_SOON_DAYS * DAY_MS;
}
