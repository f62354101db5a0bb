/** The stored records of instances, verdicts and tombstones. Every default is filled in, and nothing derived is stored. */
import { bracketedHost } from "#base";
import type { Check, CheckStatus, Ingress, Lifecycle, Port, Protocol, Registration } from "../api.ts";
import { storedCheck, type StoredCheck } from "./stored-check.ts";

export interface InstanceRecord {
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly ports: readonly Port[];
  readonly ingress?: Ingress;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly version?: string;
  readonly zone?: string;
  readonly lifecycle: Lifecycle;
  /** Milliseconds since 1970; only while it drains. */
  readonly drainUntilMs?: number;
  readonly owner?: string;
  readonly incarnation?: number;
  /** Id of the principal that it belongs to. Absent in records of versions that did not store it. */
  readonly registeredBy?: string;
  readonly probedBy: "server" | "agent";
  readonly checks: readonly StoredCheck[];
}

export interface VerdictRecord {
  readonly status: Exclude<CheckStatus, "unknown">;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

/** The last withdrawn claim on an instance. */
export interface TombstoneRecord {
  readonly owner: string;
  readonly incarnation: number;
  /** Id of the principal that made the claim. */
  readonly by?: string;
  /** The servers evicted the instance. Its owner may claim it again once it is healthy. */
  readonly evicted?: true;
}

/** A registration as it is stored. `checks`: the defaults of its service, for an instance that states none. */
export function recordOf(registration: Registration, checks: readonly Check[] = []): InstanceRecord {
  const { address, port, protocol = "http", ports = [], tags = [], metadata = {}, weight = 100 } = registration;
  const { version, zone, ingress, owner, incarnation, lifecycle = "serving", probedBy = "server" } = registration;
  const stated = registration.checks ?? (probedBy === "server" ? checks : []);
  const host = bracketedHost(address);
  const scheme = protocol === "https" || protocol === "grpcs" || protocol === "tls" ? "https" : "http";
  return {
    address,
    port,
    protocol,
    ports: ports.map(({ name, port, protocol = "http" }) => ({ name, port, protocol })),
    ...(ingress === undefined ? {} : { ingress: { port: ingress.port } }),
    tags: [...tags],
    metadata: { ...metadata },
    weight,
    ...(version === undefined ? {} : { version }),
    ...(zone === undefined ? {} : { zone }),
    lifecycle,
    ...(owner === undefined ? {} : { owner }),
    ...(incarnation === undefined ? {} : { incarnation }),
    probedBy,
    checks: stated.map((check) => storedCheck(check, `${scheme}://${host}:${port}`)),
  };
}
