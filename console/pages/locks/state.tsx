/** The state of a lock as a badge: held, delayed or free. None of them is good or bad. */
import { Hourglass, Lock, LockOpen } from "lucide";
import type { LockState } from "#locks/api";
import { Badge } from "../../components/badge.tsx";
import { formatAgo } from "../../data/time.ts";
import { locksText } from "./text.ts";

type StateOf = Pick<LockState, "holder" | "delayedUntil">;

export function lockStateName({ holder, delayedUntil }: StateOf): "held" | "delayed" | "free" {
  if (holder) return "held";
  return delayedUntil === undefined ? "free" : "delayed";
}

export function LockBadge({ lock }: { readonly lock: StateOf }) {
  const text = locksText();
  const state = lockStateName(lock);
  if (state === "delayed") {
    return (
      <Badge tone="moving" icon={Hourglass} title={text.delayedUntil(formatAgo(lock.delayedUntil ?? 0))}>
        {text.delayed}
      </Badge>
    );
  }
  return state === "held" ? (
    <Badge tone="accent" icon={Lock}>
      {text.held}
    </Badge>
  ) : (
    <Badge icon={LockOpen}>{text.free}</Badge>
  );
}
