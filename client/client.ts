/** The typed client of the control API. Gateway, agent and command line reach the control plane only through it. */
import type { Host } from "#base";
import type { LockRef } from "#locks/api";
import type { ClientOptions } from "./calls/caller.ts";
import { controlCalls, type ControlCalls } from "./calls/control.ts";
import { holdLock, type HeldLock, type LockOptions } from "./lock.ts";

/** Errors keep the server's code (`REGISTRY_…`, `CONFIG_…`, `HTTP_…`); without an answer it is CLIENT_UNREACHABLE. */
export class Client implements ControlCalls {
  readonly #host: Host;
  readonly registry: ControlCalls["registry"];
  readonly locks: ControlCalls["locks"];
  readonly config: ControlCalls["config"];
  readonly access: ControlCalls["access"];
  readonly deviceLogins: ControlCalls["deviceLogins"];
  readonly identity: ControlCalls["identity"];
  readonly quotas: ControlCalls["quotas"];
  readonly gateway: ControlCalls["gateway"];
  readonly system: ControlCalls["system"];
  readonly timeline: ControlCalls["timeline"];
  readonly traffic: ControlCalls["traffic"];
  readonly serviceRules: ControlCalls["serviceRules"];

  constructor(host: Host, options: ClientOptions) {
    const calls = controlCalls(host, options);
    this.#host = host;
    this.registry = calls.registry;
    this.locks = calls.locks;
    this.config = calls.config;
    this.access = calls.access;
    this.deviceLogins = calls.deviceLogins;
    this.identity = calls.identity;
    this.quotas = calls.quotas;
    this.gateway = calls.gateway;
    this.system = calls.system;
    this.timeline = calls.timeline;
    this.traffic = calls.traffic;
    this.serviceRules = calls.serviceRules;
  }

  /**
   * Waits for a lock and keeps it, under its own session, until it is released or lost. The `signal` of the held lock aborts when
   * it is lost. Leader election is the same call.
   */
  lock(lock: LockRef, options: LockOptions = {}): Promise<HeldLock> {
    return holdLock(this.#host, this, lock, options);
  }
}
