/** What the store keeps of an instance and of a verdict: every default filled in, nothing that can be derived. */
import type { Check, CheckStatus, HttpCheck, Registration } from "../api.ts";

export type StoredCheck =
  | { readonly id: string; readonly type: "ttl"; readonly ttlSeconds: number }
  | (Required<Omit<HttpCheck, "path">> & { readonly type: "http" });

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

function storedCheck(check: Check, origin: string): StoredCheck {
  if (check.type === "ttl") return { id: check.id, type: "ttl", ttlSeconds: check.ttlSeconds };
  const {
    id,
    type,
    url,
    path = "/",
    method = "GET",
    intervalSeconds = 10,
    timeoutSeconds = 5,
    rise = 1,
    fall = 3,
  } = check;
  return { id, type, url: url ?? `${origin}${path}`, method, intervalSeconds, timeoutSeconds, rise, fall };
}
