/** What the store keeps of an instance and of a verdict: every default filled in, nothing that can be derived. */
import type { CheckStatus, Registration } from "../api.ts";
import { storedCheck, type StoredCheck } from "./stored-check.ts";

export interface InstanceRecord {
  readonly address: string;
  readonly port: number;
  readonly protocol: "http" | "https";
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly zone?: string;
  readonly draining: boolean;
  readonly probedBy: "server" | "agent";
  readonly checks: readonly StoredCheck[];
}

export interface VerdictRecord {
  readonly status: Exclude<CheckStatus, "unknown">;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

/** A registration as it is stored. */
export function recordOf(registration: Registration): InstanceRecord {
  const { address, port, protocol = "http", tags = [], metadata = {}, weight = 100, zone } = registration;
  const { draining = false, probedBy = "server", checks = [] } = registration;
  const host = address.includes(":") ? `[${address}]` : address;
  return {
    address,
    port,
    protocol,
    tags: [...tags],
    metadata: { ...metadata },
    weight,
    ...(zone === undefined ? {} : { zone }),
    draining,
    probedBy,
    checks: checks.map((check) => storedCheck(check, `${protocol}://${host}:${port}`)),
  };
}
