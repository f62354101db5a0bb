/**
 * Which part of a split takes a request: one whose condition holds, else one drawn by weight, anew or by a value that
 * stays.
 */
import { cookieValue } from "./conditions.ts";
import type { CompiledConsumer } from "../callers/consumers.ts";
import type { RequestHead } from "../request/head.ts";
import { textHash32 } from "#base";
import type { CompiledBackend, CompiledRoute } from "./route.ts";

export function chooseBackend(
  route: CompiledRoute,
  caller: {
    head: RequestHead;
    consumer: CompiledConsumer | undefined;
    /** Whether a sticky session of the caller is on a cluster. */
    pinned?: ((cluster: string) => boolean) | undefined;
  },
  random: () => number,
): CompiledBackend | undefined {
  const { head, consumer, pinned } = caller;
  const { backends } = route;
  if (backends.length < 2) return backends[0];
  for (const backend of backends) if (backend.when && holds(backend.when, head, consumer)) return backend;
  const drawn = backends.filter(({ when, weight }) => !when && weight > 0);
  // A session stays where it is, whatever the weights are by now, unless its part has none any more.
  const stays = pinned && drawn.find(({ route: { cluster } }) => pinned(cluster.key));
  if (stays) return stays;
  const sum = drawn.reduce((total, { weight }) => total + weight, 0);
  const value = keyOf(route.splitBy, head, consumer);
  let at = (value === undefined ? random() : textHash32(`${route.name} ${value}`) / 2 ** 32) * sum;
  for (const backend of drawn) {
    at -= backend.weight;
    if (at < 0) return backend;
  }
  return drawn.at(-1);
}

function holds(
  when: NonNullable<CompiledBackend["when"]>,
  head: RequestHead,
  consumer: CompiledConsumer | undefined,
): boolean {
  const { header, cookie, consumers, groups } = when;
  if (header && !head.header(header.name.toLowerCase()).includes(header.exact)) return false;
  if (cookie && cookieValue(head.header("cookie"), cookie.name) !== cookie.exact) return false;
  if (consumers && !(consumer && consumers.includes(consumer.name))) return false;
  return !groups || (consumer !== undefined && groups.some((group) => consumer.groups.has(group)));
}

/** What a caller is told apart by; undefined when he does not have it, so that he is drawn. */
function keyOf(
  by: CompiledRoute["splitBy"],
  head: RequestHead,
  consumer: CompiledConsumer | undefined,
): string | undefined {
  if (by?.header !== undefined) return head.header(by.header.toLowerCase())[0];
  if (by?.cookie !== undefined) return cookieValue(head.header("cookie"), by.cookie);
  if (by?.by === "ip") return head.client;
  return by?.by === "consumer" ? consumer?.name : undefined;
}
