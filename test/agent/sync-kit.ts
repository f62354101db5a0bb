/** Both ends of anti-entropy, played on one clock: what the host claims, and a server that answers its calls. */
import type { Instance } from "#registry/api";
import type { LocalRegistration } from "../../agent/api.ts";
import { claimKeyOf } from "../../agent/core/local-state.ts";
import { decide } from "../../agent/core/decide.ts";
import { begin, startSync, type Effect, type SyncEvent, type SyncState } from "../../agent/core/sync-state.ts";
import { step } from "../../agent/core/sync.ts";

export const LIMITS = { sessionTtlMs: 30_000, fullSyncMs: 60_000 };
export const NAME = { namespace: "default", service: "web", id: "web-1" };
export const KEY = claimKeyOf(NAME);
export const REGISTRATION: LocalRegistration = {
  address: "127.0.0.1",
  port: 80,
  checks: [{ id: "up", type: "http" }],
};

/** The server as far as anti-entropy sees it. */
export class Server {
  readonly sessions = new Set<string>();
  readonly instances = new Map<string, Instance>();
  #ids = 0;
  #revision = 0;

  answer(effect: Effect, registrationOf: (effect: Effect & { type: "register" }) => LocalRegistration): SyncEvent {
    const missing = (): SyncEvent => ({ type: "failed", effect, failure: "missing", detail: "not there" });
    switch (effect.type) {
      case "openSession": {
        const session = `s${++this.#ids}`;
        this.sessions.add(session);
        return { type: "done", effect, session };
      }
      case "heartbeat":
        return this.sessions.has(effect.session) ? { type: "done", effect } : this.#lost(effect);
      case "register": {
        if (!this.sessions.has(effect.session)) return this.#lost(effect);
        this.put(effect.key, effect.name, registrationOf(effect), effect.session);
        return { type: "done", effect };
      }
      case "deregister":
        return this.instances.delete(effect.key) ? { type: "done", effect } : missing();
      case "report": {
        const found = this.instances.get(effect.key);
        const check = found?.checks.find(({ id }) => id === effect.check);
        if (!check) return missing();
        check.status = effect.status;
        return { type: "done", effect };
      }
      case "inspect": {
        const instances = [...this.instances.values()].filter(({ service }) => service === effect.service);
        return { type: "done", effect, instances: structuredClone(instances) };
      }
      default:
        return missing();
    }
  }

  put(key: string, name: typeof NAME, registration: LocalRegistration, session: string): void {
    const { address, port, lifecycle = "serving", weight = 100, checks = [], tags = [] } = registration;
    const known = this.instances.get(key);
    this.instances.set(key, {
      ...name,
      address,
      port,
      protocol: "http",
      tags: [...tags],
      metadata: {},
      weight,
      lifecycle,
      ports: [],
      status: "passing",
      checks: checks.map(({ id, type }) => ({
        id,
        type,
        status: known?.checks.find((check) => check.id === id)?.status ?? "unknown",
      })),
      session,
      createRevision: 1,
      modRevision: ++this.#revision,
    });
  }

  lapse(): void {
    for (const [key, { session }] of this.instances) if (this.sessions.has(session ?? "")) this.instances.delete(key);
    this.sessions.clear();
  }

  #lost(effect: Effect): SyncEvent {
    return { type: "failed", effect, failure: "session", detail: "lapsed" };
  }
}

/** Plays both ends with all calls answered, until nothing is left to do now. */
export function settle(state: SyncState, server: Server, nowMs: number): SyncState {
  for (let round = 0; round < 1000; round++) {
    const decided = decide(state, nowMs);
    state = decided.state;
    if (decided.effects.length === 0) return state;
    for (const effect of decided.effects) {
      state = begin(state, effect);
      state = step(
        state,
        server.answer(effect, ({ registration }) => registration),
        { nowMs, chance: 0.5 },
      );
    }
  }
  throw new Error("it never settles");
}

export function claimed(nowMs = 0, registration = REGISTRATION): { state: SyncState; server: Server } {
  const server = new Server();
  let state = startSync(LIMITS, nowMs);
  state = step(state, { type: "claim", name: NAME, registration, incarnation: 1 }, { nowMs, chance: 0.5 });
  return { state: settle(state, server, nowMs), server };
}

export const at = (nowMs: number) => ({ nowMs, chance: 0.5 });
