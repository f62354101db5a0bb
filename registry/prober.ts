/**
 * Probes the instances that have no agent. Exactly one member of the control plane probes each check, by rendezvous
 * hashing; when a member leaves, the others divide its checks. The prober follows changes, so one flip never costs a pass
 * over the catalog. Verdicts are written only when they change.
 */
import type { Host } from "#base";
import { bestOf, isServing } from "#health/core";
import {
  createProbe,
  definitionOf,
  notMade,
  ProbeRunner,
  type AliasedInstance,
  type ProbeResult,
  type Reach,
} from "#health";
import { RegistryErrors, type Instance, type ServiceDelta } from "./api.ts";
import { SERVERS } from "./core/commands/commander.ts";
import { instanceKey, verdictKey, type InstanceName } from "./core/keys.ts";
import { ownership } from "./core/ownership.ts";
import type { ProbedCheck } from "./core/stored-check.ts";
import type { Members } from "./members.ts";
import type { Registry } from "./registry.ts";
import { VerdictWriter } from "./verdict-writer.ts";

/** Milliseconds between checks whether this member may still count itself as alive. */
const CURRENT_MS = 1_000;

interface ProbedInstanceCheck {
  readonly name: InstanceName;
  readonly check: ProbedCheck;
  /** The service that an alias follows. */
  readonly follows: string | undefined;
}

export interface ProberOptions {
  /** The addresses that this server may connect to. */
  readonly reach: Reach;
}

export class Prober {
  readonly #host: Host;
  readonly #registry: Registry;
  readonly #members: Members;
  readonly #reach: Reach;
  /** The checks that this member probes, by the key of their verdict. */
  readonly #probed = new Map<string, ProbedInstanceCheck>();
  /** The keys of these checks, by instance. */
  readonly #ofInstance = new Map<string, Set<string>>();
  /** Aliases by the service that they follow. */
  readonly #aliases = new Map<string, Set<string>>();
  #runner: ProbeRunner | undefined;
  #writer: VerdictWriter | undefined;
  #owns: (key: string) => boolean = () => false;
  /** Whether this member counted itself as alive when it last went through all checks. */
  #wasCurrent = false;

  constructor(host: Host, registry: Registry, members: Members, { reach }: ProberOptions) {
    this.#host = host;
    this.#registry = registry;
    this.#members = members;
    this.#reach = reach;
    host.metrics.gauge({
      name: "posthouse_registry_probed_checks",
      help: "Checks that this member of the control plane probes.",
      collect: (gauge) => gauge.labels().set(this.#probed.size),
    });
  }

  /** Keys of the verdicts that this member must find. */
  keys(): string[] {
    return [...this.#probed.keys()];
  }

  /** Probes what this member owns, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await using writer = new VerdictWriter(this.#host, (key) => this.#write(key));
    await using runner = new ProbeRunner(this.#host, {
      probe: createProbe(this.#host, {
        reach: this.#reach,
        execAllow: undefined,
        alias: (target, key) => this.#alias(target, key),
      }),
      onVerdict: (key) => writer.want(key),
      onProbe: (key, result, output) => {
        const probed = this.#probed.get(key);
        if (probed) this.#registry.history.said(instanceKey(probed.name), probed.check.id, result, output);
      },
    });
    this.#runner = runner;
    this.#writer = writer;
    using stops = new DisposableStack();
    stops.defer(this.#registry.onChange((deltas) => (deltas.length === 0 ? this.#all() : this.#some(deltas))));
    stops.defer(this.#members.onChange(() => this.#all()));
    this.#all();
    while (!signal.aborted) {
      await this.#host.clock.sleep(CURRENT_MS, signal).catch(() => {});
      // A member that was cut off finds out by its own clock, and leaves its checks to the others.
      if (this.#members.current !== this.#wasCurrent) this.#all();
    }
  }

  /** After a change of the members, or of an unknown part of the catalog. */
  #all(): void {
    this.#wasCurrent = this.#members.current;
    this.#owns = this.#wasCurrent ? ownership(this.#members.list(), this.#members.id) : () => false;
    const wanted = new Set<string>();
    for (const { name, check, verdict } of this.#registry.catalog.probed()) {
      const key = verdictKey(name, check.id);
      if (!this.#owns(key)) continue;
      wanted.add(key);
      this.#set(key, name, check, verdict?.status);
    }
    for (const key of this.#probed.keys()) if (!wanted.has(key)) this.#drop(key);
  }

  #some(deltas: readonly ServiceDelta[]): void {
    for (const { namespace, service, instances, removed } of deltas) {
      for (const id of removed) this.#dropInstance({ namespace, service, id });
      for (const instance of instances) this.#follow(instance);
      for (const key of this.#aliases.get(`${namespace}/${service}`) ?? []) this.#runner?.poke(key);
    }
  }

  #follow({ namespace, service, id, checks }: Instance): void {
    const name = { namespace, service, id };
    const record = this.#registry.catalog.record(name);
    if (record?.probedBy !== "server") return this.#dropInstance(name);
    const wanted = new Set<string>();
    for (const check of record.checks) {
      const key = verdictKey(name, check.id);
      if (check.type === "ttl" || !this.#owns(key)) continue;
      wanted.add(key);
      const status = checks.find(({ id }) => id === check.id)?.status;
      this.#set(key, name, check, status === "unknown" ? undefined : status);
    }
    for (const key of this.#ofInstance.get(instanceKey(name)) ?? []) if (!wanted.has(key)) this.#drop(key);
  }

  #set(key: string, name: InstanceName, check: ProbedCheck, written: Instance["status"] | undefined): void {
    const known = this.#probed.get(key);
    // The same object: most checks are unchanged when the members change.
    if (known?.check === check) return this.#compare(key, written);
    const follows = check.type === "alias" ? `${check.namespace ?? name.namespace}/${check.service}` : undefined;
    if (known?.follows !== follows) this.#unfollow(key, known);
    if (!known && "tls" in check && check.tls?.skipVerify) {
      this.#host.log.warn(
        { check: key },
        "this check accepts any certificate (tls.skipVerify); set tls.ca to verify it",
      );
    }
    this.#probed.set(key, { name, check, follows });
    add(this.#ofInstance, instanceKey(name), key);
    if (follows !== undefined) add(this.#aliases, follows, key);
    this.#runner?.set(key, definitionOf(check), written === undefined ? {} : { initial: written });
    this.#compare(key, written);
  }

  /** Corrects the stored verdict when this member found another one. */
  #compare(key: string, written: Instance["status"] | undefined): void {
    const last = this.#runner?.last(key);
    if (last && last.status !== "unknown" && last.status !== written && this.#runner?.judged(key)) {
      this.#writer?.contest(key);
    }
  }

  #dropInstance(name: InstanceName): void {
    for (const key of this.#ofInstance.get(instanceKey(name)) ?? []) this.#drop(key);
  }

  #drop(key: string): void {
    const known = this.#probed.get(key);
    if (!known) return;
    this.#unfollow(key, known);
    remove(this.#ofInstance, instanceKey(known.name), key);
    this.#probed.delete(key);
    this.#runner?.delete(key);
    this.#writer?.drop(key);
  }

  #unfollow(key: string, known: ProbedInstanceCheck | undefined): void {
    if (known?.follows !== undefined) remove(this.#aliases, known.follows, key);
  }

  async #write(key: string): Promise<void> {
    const probed = this.#probed.get(key);
    const last = this.#runner?.last(key);
    // A member that was cut off leaves the verdict to the new owner. Once it is back, it compares and writes differences.
    if (!probed || !last || last.status === "unknown" || !this.#members.current) return;
    try {
      await this.#registry.commands.report(probed.name, probed.check.id, { status: last.status, by: SERVERS });
    } catch (error) {
      // Removed meanwhile: its probe ends when the change arrives.
      if (!RegistryErrors.INSTANCE_NOT_FOUND.is(error) && !RegistryErrors.CHECK_NOT_FOUND.is(error)) throw error;
    }
  }

  /**
   * The status of an instance, or of the best serving instance of a service, as last written. Aliases of each other
   * therefore read earlier statuses, and none waits for another.
   */
  #alias(target: AliasedInstance, key: string): ProbeResult {
    const self = this.#probed.get(key)?.name;
    if (!self) return notMade("the check was removed");
    const { namespace = self.namespace, service, instance: id } = target;
    const { catalog } = this.#registry;
    if (id !== undefined) {
      const instance = catalog.instance({ namespace, service, id });
      const name = `instance ${id} of ${namespace}/${service}`;
      return aliased(name, instance ? [instance.status] : []);
    }
    const others = catalog
      .instances(namespace, service)
      .filter((instance) => isServing(instance) && instanceKey(instance) !== instanceKey(self));
    return aliased(
      `service ${namespace}/${service}`,
      others.map(({ status }) => status),
    );
  }
}

/** The best of some statuses. No status at all is critical, and an unknown one is not a result. */
function aliased(name: string, statuses: readonly Instance["status"][]): ProbeResult {
  if (statuses.length === 0) return { result: "critical", output: `${name} does not exist` };
  const best = bestOf(statuses);
  if (best === "unknown") return notMade(`${name} has no verdict yet`);
  return { result: best, output: `${name} is ${best}` };
}

function add(index: Map<string, Set<string>>, at: string, key: string): void {
  const found = index.get(at);
  if (found) found.add(key);
  else index.set(at, new Set([key]));
}

function remove(index: Map<string, Set<string>>, at: string, key: string): void {
  const found = index.get(at);
  found?.delete(key);
  if (found?.size === 0) index.delete(at);
}
