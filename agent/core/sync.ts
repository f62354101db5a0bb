/**
 * Anti-entropy: this host's claims against the server's instances. An event and the time go in, the next state comes out; decide.ts
 * says what to send. Each change is sent by itself, everything is compared in full now and then, and calls back off while the server
 * is away. Whatever is lost, repeated or late, both ends agree after a quiet period.
 */
import { claim, claimKeyOf, judge, withdraw } from "./local-state.ts";
import { withRemoval } from "./inspection.ts";
import { done, failed } from "./outcomes.ts";
import { answered, end, type Moment, type SyncEvent, type SyncState } from "./sync-state.ts";

export function step(state: SyncState, event: SyncEvent, moment: Moment): SyncState {
  switch (event.type) {
    case "claim":
      return { ...state, claims: claim(state.claims, event.name, event) };
    case "withdraw":
      return { ...state, claims: withdraw(state.claims, event.key) };
    case "leftover":
      if (state.claims.has(claimKeyOf(event.name))) return state;
      return { ...state, claims: withRemoval(state.claims, event.name) };
    case "verdict":
      return { ...state, claims: judge(state.claims, event.key, event.check, event.status, event.output) };
    case "fullSync":
      return { ...state, fullSyncAtMs: moment.nowMs };
    case "done":
      return done(answered(end(state, event.effect)), event, moment);
    case "failed":
      return failed(end(state, event.effect), event, moment);
    default:
      return state;
  }
}
