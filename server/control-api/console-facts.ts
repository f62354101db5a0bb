/** Facts that the console shows beside the modules' own lists: how the timeline, its problems and its feed read the other modules. */
import type { Access } from "#access";
import type { Host } from "#base";
import { ChangeLog } from "#changes";
import type { Acknowledgements, ConfigServer, SetName, Subscribers } from "#config-server";
import type { Locks } from "#locks";
import type { CertificateAuthority, Joins } from "#identity";
import { issuingIntermediate } from "#identity/core";
import type { Members, Registry } from "#registry";
import type { Store } from "#store";
import { Feed, Presence, type ProblemFacts, problemsIn, Timeline } from "#timeline";
import type { FeedTopic } from "#timeline/api";
import type { Traffic } from "#traffic";

/** Milliseconds before its end at which an imported authority, which cannot renew itself, is a problem. */
const AUTHORITY_LATE_MS = 30 * 86_400_000;
/** The app that gateways follow. */
const GATEWAY_APP = "gateway";

interface Identity {
  readonly authority: CertificateAuthority;
  readonly joins: Joins;
}

interface Readers {
  readonly registry: Registry;
  readonly members: Members;
  readonly locks: Locks;
  readonly config: ConfigServer;
  readonly access: Access;
  readonly identity: Identity;
  readonly acknowledgements: Acknowledgements;
  readonly subscribers: Subscribers;
  readonly traffic: Traffic;
}

interface ConsoleFactsOptions {
  readonly degraded?: () => readonly string[];
  readonly certificates?: ProblemFacts["certificates"];
}

export function createConsoleFacts(host: Host, store: Store, readers: Readers, options: ConsoleFactsOptions) {
  const { registry, members } = readers;
  const leads = () => members.current && members.list()[0] === members.id;
  const timeline = new Timeline(host, store, { health: () => registry.past.recent, leads });
  const presence = new Presence(host, store, new ChangeLog(host, store), {
    self: members.id,
    members: () => members.list(),
    gateways: () => gatewaysOf(readers),
    leads,
  });
  const problems = () => problemFacts(host, readers, timeline, options);
  const applied = appliedTo(readers, timeline);
  host.metrics.gauge({
    name: "posthouse_certificate_expiry_timestamp_seconds",
    help: "End of a certificate that this process serves, or of the certificate authority, in seconds since 1970.",
    labelNames: ["certificate"],
    collect: (family) => {
      for (const { name, expiresAtMs } of problems().certificates()) {
        // Infinity: its end is not known yet.
        if (Number.isFinite(expiresAtMs)) family.labels(name).set(expiresAtMs / 1000);
      }
    },
  });
  const feed = new Feed(host, store, {
    member: members.id,
    appliedTo: (topic) => applied[topic]?.() ?? Infinity,
    revision: () => registry.revision,
    problems: () => [...problemsIn(problems())].map(({ id }) => id).join("\n"),
  });
  return { timeline, presence, feed, problems };
}

/** The view behind each topic. Others are read from the store itself, or follow in a moment. */
function appliedTo(readers: Readers, timeline: Timeline): Partial<Record<FeedTopic, () => number>> {
  const { registry, config, locks, access, traffic } = readers;
  return {
    services: () => registry.revision,
    service: () => registry.revision,
    config: () => config.revision,
    routes: () => Math.max(config.revision, registry.revision),
    rollouts: () => config.revision,
    locks: () => locks.revision,
    access: () => access.revision,
    traffic: () => traffic.revision,
    changes: () => Math.max(timeline.revision, registry.revision),
  };
}

function gatewaysOf({ subscribers }: Readers) {
  return [...subscribers.sets()].flatMap((id) => {
    const [namespace = "", app = "", profile = ""] = id.split("/");
    if (app !== GATEWAY_APP) return [];
    return [...subscribers.of({ namespace, app, profile }).keys()].map((name) => ({ namespace, name }));
  });
}

/** When certificates can no longer be issued, unless the authority is replaced. */
function authorityEnd({ authority }: Identity) {
  const record = authority.state.authority?.record;
  const issuing = record && issuingIntermediate(record);
  if (!issuing) return [];
  return [{ name: "certificate authority", expiresAtMs: issuing.expiresAtMs, renewsBeforeMs: AUTHORITY_LATE_MS }];
}

function problemFacts(
  host: Host,
  { registry, config, locks, acknowledgements, identity }: Readers,
  timeline: Timeline,
  { degraded, certificates }: ConsoleFactsOptions,
): ProblemFacts {
  const { catalog } = registry;
  const parts = { registry, "config server": config, locks };
  return {
    nowMs: host.clock.now(),
    *services() {
      for (const { namespace, service } of catalog.services()) {
        yield { ...catalog.summary(namespace, service), ...catalog.panic(namespace, service) };
      }
    },
    instances: (namespace, service) => catalog.instances(namespace, service),
    output: (instance, check) => registry.health(instance).find(({ id }) => id === check)?.output,
    *acknowledgements() {
      for (const id of acknowledgements.sets()) {
        const [namespace = "", app = "", profile = ""] = id.split("/");
        const set: SetName = { namespace, app, profile };
        // A config that cannot be built has no subscribers that should have it.
        if (config.live.resolved(set).problems.length > 0) continue;
        const { subscribers } = acknowledgements.list(set);
        yield { set, dueAtMs: config.live.dueAtMs(set, { labels: {} }), subscribers };
      }
    },
    *pausedRollouts() {
      for (const { name: set, record } of config.live.rollouts()) {
        const { state, version, stage, because = "paused by an operator" } = record.rollout;
        if (state === "paused") yield { set, version, stage, because };
      }
    },
    unreadableSecrets: () => config.unreadable().map(({ name: set, key }) => ({ set, key })),
    silentParts: () =>
      Object.entries(parts).flatMap(([name, { connected, ageMs }]) => {
        if (connected) return [];
        return Number.isFinite(ageMs) ? [{ name, sinceMs: host.clock.now() - ageMs }] : [{ name }];
      }),
    degraded: () => degraded?.() ?? [],
    certificates: () => [...(certificates?.() ?? []), ...authorityEnd(identity)],
    authorityProblem: () => identity.authority.problem?.message,
    *nodes() {
      // Certificates that ended hours ago have no record any more.
      for (const { kind, name, expiresAt } of identity.joins.nodes()) {
        if (expiresAt !== undefined) yield { kind, name, expiresAtMs: Date.parse(expiresAt) };
      }
    },
    latestChanges: (kinds) => timeline.latest(kinds),
  };
}
