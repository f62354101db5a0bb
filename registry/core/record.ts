/** What the store keeps of an instance and of a verdict: every default filled in, nothing that can be derived. */
import type { Check, CheckStatus, Lifecycle, Port, Protocol, Registration } from "../api.ts";
import { storedCheck, type StoredCheck } from "./stored-check.ts";

export interface InstanceRecord {
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly ports: readonly Port[];
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly version?: string;
  readonly zone?: string;
  readonly lifecycle: Lifecycle;
  /** Milliseconds since 1970; while it drains. */
  readonly drainUntilMs?: number;
  readonly owner?: string;
  readonly incarnation?: number;
  /** Id of the principal that it belongs to; absent: of a version that did not keep it. */
  readonly registeredBy?: string;
  readonly probedBy: "server" | "agent";
  readonly checks: readonly StoredCheck[];
}

export interface VerdictRecord {
  readonly status: Exclude<CheckStatus, "unknown">;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

/** The last claim on an instance that was deregistered. */
export interface TombstoneRecord {
  readonly owner: string;
  readonly incarnation: number;
  /** Id of the principal that the claim was of. */
  readonly by?: string;
  /** The servers removed it because it was critical for too long; its owner may claim it anew once it is well. */
  readonly evicted?: true;
}

/** A registration as it is stored; `checks` are the service's own, for an instance that states none. */
export function recordOf(registration: Registration, checks: readonly Check[] = []): InstanceRecord {
  const { address, port, protocol = "http", ports = [], tags = [], metadata = {}, weight = 100 } = registration;
  const { version, zone, owner, incarnation, lifecycle = "serving", probedBy = "server" } = registration;
  const stated = registration.checks ?? (probedBy === "server" ? checks : []);
  const host = address.includes(":") ? `[${address}]` : address;
  const scheme = protocol === "https" || protocol === "grpcs" || protocol === "tls" ? "https" : "http";
  return {
    address,
    port,
    protocol,
    ports: ports.map(({ name, port, protocol = "http" }) => ({ name, port, protocol })),
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
