/** Chooses the content encoding for a client. @see RFC 9110 §12.5.3 */
import type { Encoding } from "../routing/route.ts";

/** The first of our encodings with the client's highest weight; undefined when the client prefers the plain body. */
export function chooseEncoding(accept: readonly string[], ours: readonly Encoding[]): Encoding | undefined {
  const weights = new Map<string, number>();
  for (const part of accept.join(",").split(",")) {
    const [name = "", ...parameters] = part.trim().toLowerCase().split(";");
    const q = /^\s*q=([01](\.\d{0,3})?)\s*$/.exec(parameters.find((parameter) => /^\s*q=/.test(parameter)) ?? "")?.[1];
    if (name.trim() !== "") weights.set(name.trim(), q === undefined ? 1 : Number(q));
  }
  const weigh = (name: string) => weights.get(name) ?? weights.get("*") ?? 0;
  let best: Encoding | undefined;
  for (const encoding of ours) if (weigh(encoding) > (best === undefined ? 0 : weigh(best))) best = encoding;
  return best !== undefined && weigh(best) >= (weights.get("identity") ?? 0) ? best : undefined;
}
