/** What the store keeps of a check: every default filled in, and its target spelled out. */
import type { Check, HttpCheck } from "../api.ts";

export type StoredCheck =
  | { readonly id: string; readonly type: "ttl"; readonly ttlSeconds: number }
  | (Required<Omit<HttpCheck, "path">> & { readonly type: "http" });

/** A check as it is stored; `origin` is where its instance answers, such as `http://10.0.0.7:8080`. */
export function storedCheck(check: Check, origin: string): StoredCheck {
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
