/**
 * Ends the streams of callers that have changed: a revoked token or certificate, other policies, another binding. Their clients open them
 * again, with their present rights or none. Several changes at once are looked at once.
 */
import type { CancelTimer, Host } from "#base";
import type { Services } from "./services.ts";

/** Milliseconds between a change and the look at all streams: short beside the second within which a change takes effect. */
const GATHER_MS = 50;

type Parts = Pick<Services, "access" | "identity" | "registry" | "config" | "locks" | "facts">;

/** Follows changes until the returned function is called. */
export function followCallers(host: Host, { access, identity, registry, config, locks, facts }: Parts): () => void {
  let timer: CancelTimer | undefined;
  const sweep = () => {
    timer = undefined;
    for (const hub of [registry.hub, config.hub, locks.hub, identity.authority.hub]) hub.sweep();
    facts.feed.sweep();
  };
  const changed = () => void (timer ??= host.clock.after(GATHER_MS, sweep));
  const ends = [access.onChange(changed), identity.authority.onChange(changed)];
  return () => {
    for (const end of ends) end();
    timer?.();
  };
}
