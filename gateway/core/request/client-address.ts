/**
 * The client's address when there are proxies in front of the gateway: the first address in `X-Forwarded-For`, read from
 * the right, that is not a trusted proxy. The left side can be forged by any client. Headers of a peer that is not a
 * trusted proxy are ignored.
 */
import ipaddr from "ipaddr.js";
import type { CidrSet } from "./cidr-set.ts";
import type { RequestHead } from "./head.ts";

export interface ClientOrigin {
  readonly address: string;
  /** The addresses that the request came through, from the client on, without the gateway's own peer. */
  readonly chain: readonly string[];
}

export function clientOrigin(
  peer: string,
  forwardedFor: readonly string[],
  trusted: CidrSet | undefined,
): ClientOrigin {
  if (!trusted?.has(peer)) return { address: peer, chain: [] };
  const listed = forwardedFor.flatMap((value) => value.split(",")).map((part) => bare(part.trim()));
  let first = listed.length;
  for (let at = listed.length - 1; at >= 0; at--) {
    const address = listed[at] as string;
    // Any other text ends the chain, since the addresses before it are not confirmed by a trusted proxy.
    if (!ipaddr.isValid(address)) break;
    first = at;
    if (!trusted.has(address)) break;
  }
  const chain = listed.slice(first);
  return { address: chain[0] ?? peer, chain };
}

/** Removes the port that some proxies add, and brackets. */
function bare(text: string): string {
  const six = /^\[([^\]]+)\](:\d+)?$/.exec(text);
  if (six) return six[1] as string;
  return /^\d+\.\d+\.\d+\.\d+:\d+$/.test(text) ? text.slice(0, text.indexOf(":")) : text;
}

/** The head with the client and the scheme that trusted proxies report. */
export function seenBy({ trusted }: { readonly trusted: CidrSet | undefined }, head: RequestHead): RequestHead {
  if (!trusted?.has(head.peer)) return head;
  const { address } = clientOrigin(head.peer, head.header("x-forwarded-for"), trusted);
  return { ...head, client: address, scheme: schemeSeen(head, trusted) };
}

/** Whether a peer decides if its trace is sampled. Otherwise any client could fill the trace store. */
export function isTraceTrusted(
  { trusted, trustsAllTraces }: { readonly trusted: CidrSet | undefined; readonly trustsAllTraces: boolean },
  peer: string,
): boolean {
  return trustsAllTraces || (trusted?.has(peer) ?? false);
}

/** The scheme that the client used, as a trusted proxy reports it; else the connection's. */
export function schemeSeen(head: RequestHead, trusted: CidrSet | undefined): "http" | "https" {
  if (!trusted?.has(head.peer)) return head.scheme;
  const [said] = head.header("x-forwarded-proto");
  return said === "http" || said === "https" ? said : head.scheme;
}
