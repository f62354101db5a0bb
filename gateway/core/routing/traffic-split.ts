/**
 * Which part of a split receives a request: the first whose condition holds, else one drawn by weight, either at random
 * or by a value of the request.
 */
import { invariant, textHash32 } from "#base";
import { cookieValue } from "./conditions.ts";
import type { CompiledConsumer } from "../callers/consumers.ts";
import type { RequestHead } from "../request/head.ts";
import type { CompiledBackend, CompiledRoute } from "./route.ts";

export function chooseBackend(
  route: CompiledRoute,
  caller: {
    head: RequestHead;
    consumer: CompiledConsumer | undefined;
    /** Whether the caller has a sticky session on a cluster. */
    pinned?: ((cluster: string) => boolean) | undefined;
  },
  random: () => number,
): CompiledBackend | undefined {
  const { head, consumer, pinned } = caller;
  const { backends } = route;
  if (backends.length < 2) return backends[0];
  for (const backend of backends) if (backend.when && holds(backend.when, head, consumer)) return backend;
  const drawn = backends.filter(({ when, weight }) => !when && weight > 0);
  // A session stays in its part when weights change, unless that part's weight became 0.
  const stays = pinned && drawn.find(({ route: { cluster } }) => pinned(cluster.key));
  if (stays) return stays;
  const sum = drawn.reduce((total, { weight }) => total + weight, 0);
  invariant(sum > 0, "a split has a part with a weight and without a condition");
  const value = splitValue(route.splitBy, head, consumer);
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

/** The value that chooses the part; undefined when the request does not have it, so that the part is drawn at random. */
function splitValue(
  by: CompiledRoute["splitBy"],
  head: RequestHead,
  consumer: CompiledConsumer | undefined,
): string | undefined {
  if (by?.header !== undefined) return head.header(by.header.toLowerCase())[0];
  if (by?.cookie !== undefined) return cookieValue(head.header("cookie"), by.cookie);
  if (by?.by === "ip") return head.client;
  return by?.by === "consumer" ? consumer?.name : undefined;
}
