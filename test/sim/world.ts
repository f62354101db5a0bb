/**
 * A world: members of the control plane over one store, agents with services, owners without an agent, and followers of all
 * kinds, each a process that can be killed. For a while chance does to them what a bad week does; then all is calm, everybody
 * is started again, and what happened is handed to the checkers.
 */
import { messageOf, randomInt, TaskGroup, type Host, type Random } from "#base";
import { OwnListeners } from "#base/address-class";
import { Client, injectTransport, type Transport } from "#client";
import { WatchedCatalog } from "#dns";
import { OWN_HOST_RULES } from "#health";
import { createControlApi, type ControlApi } from "#server/control-api";
import { openMemoryStore, type Store } from "#store";
import { GATEWAY_APP, GATEWAY_KEY, GATEWAY_PROFILE } from "#gateway/api";
import { LocalAgent } from "../../agent/agent.ts";
import { NO_SERVICE_IDENTITIES } from "../../agent/service-identities.ts";
import { loadSnapshot, snapshotPath } from "../../agent/snapshot.ts";
import { AGENT_DEFAULTS } from "../../agent/settings.ts";
import { ConfigSource } from "../../gateway/sources/config.ts";
import { RegistrySource } from "../../gateway/sources/registry.ts";
import { mount, SimDisk } from "./disk.ts";
import { FaultyStore } from "./faulty-store.ts";
import { FaultyTransport, type Door } from "./faulty-transport.ts";
import { History, type Held, type ReaderHistory } from "./history.ts";
import { fork, Life, simHost, SimTime, Trace } from "./host.ts";
import { NO_MUTATION, type Mutation } from "./mutations.ts";
import { Link, type Severity } from "./weather.ts";

export const NAMESPACE = "default";
export const SERVICES = ["orders", "carts", "users"] as const;
/** The config set that everybody follows, its layer below, and the keys that each release of either writes as one. */
export const APP = "shop";
export const PROFILES = ["default", "eu"] as const;
export const FILE_KEY = "shop.txt";

/** How long chance rules, and how long it is calm before all must agree. Virtual milliseconds. */
const FAULTS_MS = 30_000;
const CALM_MS = 50_000;
/** Longest that the start of a world may take. Virtual milliseconds. */
const START_MS = 60_000;
/** Between two things done on purpose. Virtual milliseconds. */
const ACTION_MS_MAX = 700;
const SESSION_TTL_SECONDS = 8;

export interface Outcome {
  readonly history: History;
  readonly trace: Trace;
}

/** Lives through a whole world. `mutation` breaks one part of it, to see whether the checkers notice. */
export async function live(seed: number, mutation: Mutation = NO_MUTATION): Promise<Outcome> {
  const world = new World(seed, mutation);
  await world.begin();
  await world.suffer();
  await world.recover();
  await world.end();
  return { history: world.history, trace: world.trace };
}

interface Member {
  readonly door: Door;
  life: Life;
  control: ControlApi | undefined;
}

interface AgentProcess {
  readonly name: string;
  life: Life;
  agent: LocalAgent | undefined;
  /** The services on its host: a stamp by id. */
  readonly services: Map<string, { readonly service: string; readonly stamp: number }>;
}

interface Follower {
  readonly name: string;
  life: Life;
  generation: number;
  readonly start: (follower: Follower, host: Host, client: Client) => void;
  /** Its data, for the end. */
  state?: () => Record<string, unknown>;
  reader?: ReaderHistory;
}

class World {
  readonly time = new SimTime();
  readonly trace = new Trace(this.time);
  readonly history = new History(this.time, this.trace);
  readonly #seed: number;
  readonly #mutation: Mutation;
  readonly #chance: Random;
  readonly #severity: Severity;
  readonly #links = new Map<string, Link>();
  readonly #engine: Store;
  readonly #engineLife = new Life("store");
  readonly #disk: SimDisk;
  readonly #members: Member[] = [];
  readonly #agents: AgentProcess[] = [];
  readonly #followers: Follower[] = [];
  readonly #owners = new Set<Life>();
  readonly #operator = new Life("operator");
  #operatorClient: Client | undefined;
  #token = "";
  #stamp = 0;
  #lastRevision = 0;
  #calm = true;

  constructor(seed: number, mutation: Mutation) {
    this.#seed = seed;
    this.#mutation = mutation;
    this.#chance = fork(seed, "world");
    const badness = this.#chance.float();
    this.#severity = {
      lose: 0.06 * badness * this.#chance.float(),
      loseAnswer: 0.06 * badness * this.#chance.float(),
      cut: 0.05 * badness * this.#chance.float(),
      late: 0.08 * badness * this.#chance.float(),
      lateMs: 200 + 12_000 * this.#chance.float(),
    };
    this.#engine = mutation.engine(openMemoryStore(this.#host(this.#engineLife)));
    this.#disk = new SimDisk(this.time, fork(seed, "disk"), this.history);
    this.#disk.torn = mutation.tornFiles;
    mount(this.#disk);
  }

  async begin(): Promise<void> {
    void this.#record();
    for (let i = 0; i < 2 + this.#below(2); i++) {
      const name = `m${i + 1}`;
      this.#members.push({ door: { name, open: undefined }, life: new Life(name), control: undefined });
    }
    for (const member of this.#members) {
      await this.time.runThrough(`start of ${member.door.name}`, START_MS, this.#bootMember(member));
    }
    this.#operatorClient = this.#client(this.#host(this.#operator), this.#operator, 0);
    await this.time.runThrough("the first releases", START_MS, this.#firstReleases());
    for (let i = 0; i < 2 + this.#below(3); i++) {
      const name = `a${i + 1}`;
      this.#agents.push({ name, life: new Life(name), agent: undefined, services: new Map() });
    }
    for (const agent of this.#agents) {
      for (let i = 0; i < 1 + this.#below(2); i++) this.#newService(agent);
      await this.time.runThrough(`start of ${agent.name}`, START_MS, this.#bootAgent(agent));
    }
    this.#addFollowers();
    for (const follower of this.#followers) this.#bootFollower(follower);
    await this.time.runUntil(this.time.nowMs + 1_000);
  }

  /** Chance rules. */
  async suffer(): Promise<void> {
    this.#setCalm(false);
    const endMs = this.time.nowMs + FAULTS_MS;
    while (this.time.nowMs < endMs) {
      await this.time.runUntil(this.time.nowMs + this.#chance.float() * ACTION_MS_MAX);
      this.#act();
    }
  }

  /** Faults end, and killed processes come back. */
  async recover(): Promise<void> {
    this.trace.note("calm");
    this.#setCalm(true);
    for (const link of this.#links.values()) link.heal();
    for (const member of this.#members) if (!member.life.alive) void this.#restartMember(member);
    for (const agent of this.#agents) if (!agent.life.alive) void this.#bootAgent(agent);
    await this.time.runUntil(this.time.nowMs + CALM_MS);
  }

  /** Everybody is asked what they hold. */
  async end(): Promise<void> {
    await this.time.runThrough("the last questions", START_MS, this.#ask());
    for (const { life } of [...this.#members, ...this.#agents, ...this.#followers]) life.kill();
    for (const owner of this.#owners) owner.kill();
    this.#operator.kill();
    await this.#engine[Symbol.asyncDispose]();
    this.#engineLife.kill();
    await this.time.runUntil(this.time.nowMs);
  }

  async #ask(): Promise<void> {
    const { finals, wanted } = this.history;
    for (const { door } of this.#members) {
      const app = door.open?.app;
      if (!app) {
        this.history.defect(`${door.name} is not up though all was calm`);
        continue;
      }
      const client = new Client(this.#host(this.#operator), { transport: injectTransport(app), token: this.#token });
      const services: Record<string, unknown> = {};
      for (const service of SERVICES) {
        const found = await client.registry.instances({ namespace: NAMESPACE, service }).catch(() => undefined);
        services[service] = found?.instances ?? [];
      }
      finals.push({ who: door.name, kind: "services", state: services });
      const sets: Record<string, unknown> = {};
      for (const profile of PROFILES) {
        const { items } = await client.config.effective({ namespace: NAMESPACE, app: APP, profile });
        sets[profile] = Object.fromEntries(Object.entries(items).map(([key, { value }]) => [key, value]));
      }
      finals.push({ who: door.name, kind: "config", state: sets });
    }
    for (const { name, agent, services } of this.#agents) {
      if (!agent) {
        this.history.defect(`${name} is not up though all was calm`);
        continue;
      }
      for (const { service, id, registration } of agent.services.list()) {
        // One that was taken back just before a kill may be in its snapshot still: it may be there again, or not.
        const stamp = services.has(id) ? Number(registration.metadata?.["stamp"]) : undefined;
        wanted.set(`${service}/${id}`, stamp);
      }
      const state: Record<string, unknown> = {};
      for (const service of SERVICES) {
        const known = await agent.resolve({ namespace: NAMESPACE, service }, undefined).catch(() => undefined);
        if (known?.stale) this.history.defect(`${name} holds ${service} for stale though all was calm`);
        state[service] = known?.value.instances ?? [];
      }
      finals.push({ who: name, kind: "services", state });
      const text = this.#disk.text(`/sim/${name}/files/${FILE_KEY}`);
      finals.push({ who: name, kind: "config", state: { eu: { [FILE_KEY]: text } } });
    }
    for (const { name, state, reader, life } of this.#followers) {
      if (reader) reader.alive = life.alive;
      if (state && life.alive) finals.push({ who: name, kind: "services", state: state() });
    }
  }

  // Random actions.

  #act(): void {
    const roll = this.#chance.float();
    if (roll < 0.22) this.#newService(this.#pick(this.#agents));
    else if (roll < 0.34) this.#dropService(this.#pick(this.#agents));
    else if (roll < 0.42) this.#drainService(this.#pick(this.#agents));
    else if (roll < 0.48) this.#reportService(this.#pick(this.#agents));
    else if (roll < 0.55) this.#publish();
    else if (roll < 0.63) this.#readBack();
    else if (roll < 0.69) this.#newOwner();
    else if (roll < 0.72) this.#killOwner();
    else if (roll < 0.75) this.#restartAgent(this.#pick(this.#agents));
    else if (roll < 0.79) this.#cycleMember(this.#pick(this.#members));
    else if (roll < 0.84) this.#cycleFollower(this.#pick(this.#followers));
    else if (roll < 0.94) this.#partition();
    else if (roll < 0.97) this.#jump();
    else void this.#compact();
  }

  #newService(process: AgentProcess): void {
    const { agent, services, name } = process;
    const id = `${name}-${this.#below(3)}`;
    const service = services.get(id)?.service ?? this.#pick(SERVICES);
    const stamp = ++this.#stamp;
    services.set(id, { service, stamp });
    if (agent && process.life.alive) this.#claim(agent, id, { service, stamp });
  }

  #claim(agent: LocalAgent, id: string, { service, stamp }: { service: string; stamp: number }): void {
    this.trace.note(`claim ${service}/${id} ${stamp}`);
    const checks = id.endsWith("1") ? [{ id: "alive", type: "ttl" as const, ttlSeconds: 6 }] : [];
    agent.services.register(id, {
      name: service,
      port: 1_000 + (stamp % 60_000),
      metadata: { stamp: String(stamp) },
      checks,
    });
  }

  #dropService(process: AgentProcess): void {
    const [id] = this.#pick([...process.services]) ?? [];
    if (id === undefined || !process.agent || !process.life.alive) return;
    const { service } = process.services.get(id) ?? { service: "" };
    process.services.delete(id);
    if (!process.agent.services.list().some((held) => held.id === id)) return;
    this.trace.note(`withdraw ${service}/${id}`);
    process.agent.services.deregister(id);
    this.history.withdrawn.push({ name: `${service}/${id}`, stamp: this.#stamp, atMs: this.time.nowMs });
  }

  #drainService(process: AgentProcess): void {
    const { agent, life } = process;
    const held = agent && life.alive ? this.#pick(agent.services.list()) : undefined;
    if (!agent || !held) return;
    agent.services.setLifecycle(held.id, this.#chance.float() < 0.5 ? "draining" : "serving");
  }

  #reportService({ agent, life }: AgentProcess): void {
    const held =
      agent && life.alive ? this.#pick(agent.services.list().filter(({ id }) => id.endsWith("1"))) : undefined;
    if (!agent || !held) return;
    agent.services.report(held.id, "alive", {
      status: this.#pick(["passing", "warning", "critical"] as const) ?? "passing",
      output: "",
    });
  }

  #publish(): void {
    const stamp = ++this.#stamp;
    const profile = this.#pick(PROFILES) ?? "eu";
    const name = this.#chance.float() < 0.2 ? gatewaySet() : { namespace: NAMESPACE, app: APP, profile };
    this.#quietly(this.#operatorClient?.config.publish(name, { items: itemsOf(name.app, profile, stamp) }));
  }

  /** A registration by hand, and then a question that must see it, wherever it is asked. */
  #readBack(): void {
    const service = this.#pick(SERVICES) ?? "orders";
    const id = `hand-${this.#below(3)}`;
    const client = this.#operatorClient;
    if (!client) return;
    const name = { namespace: NAMESPACE, service, id };
    const stamp = ++this.#stamp;
    const removing = this.#chance.float() < 0.3;
    const other = this.#client(this.#host(this.#operator), this.#operator, this.#below(this.#members.length));
    const run = async () => {
      const { revision } = removing
        ? await client.registry.deregister(name)
        : await client.registry.register(name, { address: "127.0.0.1", port: 80, metadata: { stamp: String(stamp) } });
      this.#lastRevision = Math.max(this.#lastRevision, revision);
      await other.registry.instances({ namespace: NAMESPACE, service }, { revision: this.#lastRevision });
    };
    this.#quietly(run());
  }

  /** A process that registers itself, without an agent, and keeps its session until it is killed or the session is lost. */
  #newOwner(): void {
    const life = new Life(`o${this.#owners.size + 1}`);
    this.#owners.add(life);
    const host = this.#host(life);
    const client = this.#client(host, life, this.#below(this.#members.length));
    const service = this.#pick(SERVICES) ?? "orders";
    const ttlSeconds = 3 + this.#below(6);
    const stamp = ++this.#stamp;
    const run = async () => {
      const { id } = await client.registry.openSession(ttlSeconds);
      const name = { namespace: NAMESPACE, service, id: life.name };
      await client.registry.register(name, {
        address: "127.0.0.1",
        port: 81,
        metadata: { stamp: String(stamp) },
        session: id,
      });
      while (life.alive) {
        await host.clock.sleep((ttlSeconds * 1000) / 3);
        await client.registry.heartbeat(id);
      }
    };
    this.#quietly(run());
  }

  #killOwner(): void {
    const alive = [...this.#owners].filter((life) => life.alive);
    const life = this.#pick(alive);
    if (!life) return;
    this.trace.note(`kill ${life.name}`);
    life.kill();
  }

  #restartAgent(process: AgentProcess): void {
    if (process.life.alive) {
      this.trace.note(`kill ${process.name}`);
      process.life.kill();
      process.agent = undefined;
      // A withdrawal that was not yet on disk is lost: the agent rightly claims the instance again.
      const kept = this.history.withdrawn.filter(
        ({ name, atMs }) => !name.includes(`/${process.name}-`) || atMs < this.time.nowMs - 3_000,
      );
      this.history.withdrawn.splice(0, Infinity, ...kept);
      if (this.#chance.float() < 0.3) this.#disk.remove(snapshotPath(dataDir(process.name)));
      return;
    }
    void this.#bootAgent(process);
  }

  #cycleMember(member: Member): void {
    if (member.life.alive) {
      this.trace.note(`kill ${member.door.name}`);
      member.life.kill();
      member.door.open = undefined;
      return;
    }
    void this.#restartMember(member);
  }

  #cycleFollower(follower: Follower): void {
    follower.life.kill();
    if (follower.reader) follower.reader.alive = false;
    this.#bootFollower(follower);
  }

  #partition(): void {
    const names = [...this.#links.keys()];
    const link = this.#links.get(this.#pick(names) ?? "");
    if (!link || link.partitioned) return;
    link.partitioned = true;
    const ms = 500 + this.#chance.float() ** 2 * 25_000;
    this.time.after(this.#engineLife, ms, () => link.heal());
  }

  #jump(): void {
    const lives = [...this.#members, ...this.#agents].map(({ life }) => life);
    const life = this.#pick(lives);
    if (life) life.skewMs += Math.floor((this.#chance.float() - 0.5) * 7_200_000);
  }

  async #compact(): Promise<void> {
    const { revision, compactedRevision } = await this.#engine.status();
    if (revision > compactedRevision) await this.#engine.compact(revision).catch(() => {});
  }

  // How processes start.

  async #bootMember(member: Member): Promise<void> {
    const { name } = member.door;
    const life = new Life(name);
    member.life = life;
    const host = this.#host(life);
    const link = this.#link(`${name}→store`);
    const store = new FaultyStore(this.#engine, { time: this.time, life, link, history: this.history });
    const control = await createControlApi(host, {
      store: this.#mutation.member(store, fork(this.#seed, `mutation/${name}`)),
      releaseChecks: [],
      exposed: false,
      probeRules: OWN_HOST_RULES,
      startMs: START_MS,
      notReady: () => [],
    });
    if (!life.alive) return;
    this.trace.note(`${name} is up`);
    member.control = control;
    member.door.open = { app: control.app, life };
    if (control.firstToken) this.#token = control.firstToken.token;
  }

  /** As a supervisor does: a start that failed is tried again. */
  async #restartMember(member: Member): Promise<void> {
    for (;;) {
      try {
        return await this.#bootMember(member);
      } catch (error) {
        this.trace.note(`${member.door.name} did not start: ${messageOf(error)}`);
        member.life.kill();
        await this.time.sleep(this.#engineLife, 1_000);
      }
    }
  }

  async #firstReleases(): Promise<void> {
    for (const profile of PROFILES) {
      const set = { namespace: NAMESPACE, app: APP, profile };
      await this.#operatorClient?.config.publish(set, { items: itemsOf(APP, profile, ++this.#stamp) });
    }
    await this.#operatorClient?.config.publish(gatewaySet(), { items: itemsOf(GATEWAY_APP, "default", ++this.#stamp) });
  }

  async #bootAgent(process: AgentProcess): Promise<void> {
    const { name, services } = process;
    const life = new Life(name);
    life.skewMs = process.life.skewMs;
    process.life = life;
    this.#disk.own(name, life);
    const host = this.#host(life);
    const snapshot = await loadSnapshot(host, dataDir(name));
    const client = this.#mutation.agentClient(this.#client(host, life, this.#below(this.#members.length)), host);
    const agent = new LocalAgent(host, {
      client,
      settings: {
        ...AGENT_DEFAULTS,
        node: name,
        dataDir: dataDir(name),
        filesDir: `/sim/${name}/files`,
        sessionTtlSeconds: SESSION_TTL_SECONDS,
        fullSyncSeconds: 15,
      },
      snapshot,
      identity: undefined,
      identities: NO_SERVICE_IDENTITIES,
      dial: { loopback: true, own: new OwnListeners(() => []) },
      audit: undefined,
    });
    agent.start({ services: [], files: [] });
    process.agent = agent;
    this.trace.note(`${name} is up ${snapshot ? "with" : "without"} its snapshot`);
    agent.files.keep(FILE_KEY, { namespace: NAMESPACE, app: APP, profile: "eu", key: FILE_KEY });
    for (const [id, what] of services) this.#claim(agent, id, what);
    for (const service of SERVICES) this.#quietly(agent.resolve({ namespace: NAMESPACE, service }, undefined));
  }

  #addFollowers(): void {
    const add = (name: string, start: Follower["start"]) =>
      this.#followers.push({ name, life: new Life(name), generation: 0, start });
    const watch = (name: string, services: readonly string[] | undefined) =>
      add(name, (follower, host, client) => {
        const reader = this.history.reader(`${name}#${follower.generation}`, "services", services ? { services } : {});
        follower.reader = reader;
        const query = { namespace: NAMESPACE, ...(services ? { services } : {}) };
        this.#run(host, name, async (signal) => {
          for await (const frame of client.registry.watch(query, { signal })) this.history.told(reader, frame);
        });
      });
    watch("one", [SERVICES[0]]);
    watch("many", [SERVICES[0], SERVICES[1]]);
    watch("all", undefined);
    for (const profile of PROFILES) {
      add(`config-${profile}`, (follower, host, client) => {
        const reader = this.history.reader(`config-${profile}#${follower.generation}`, "config", { set: profile });
        follower.reader = reader;
        this.#run(host, reader.name, async (signal) => {
          const name = { namespace: NAMESPACE, app: APP, profile };
          for await (const frame of client.config.watch(name, { signal })) this.history.told(reader, frame);
        });
      });
    }
    add("gateway", (follower, host, client) => this.#startGateway(follower, host, client));
    add("dns", (follower, host, client) => this.#startDns(follower, host, client));
  }

  #bootFollower(follower: Follower): void {
    const life = new Life(follower.name);
    follower.life = life;
    follower.generation++;
    const host = this.#host(life);
    const client = this.#client(host, life, this.#below(this.#members.length));
    follower.start(follower, host, this.#mutation.followerClient(client));
  }

  #startGateway(follower: Follower, host: Host, client: Client): void {
    const name = `gateway#${follower.generation}`;
    const noted = noting(client);
    const look = (service: string) =>
      [...source.instances(NAMESPACE, service)].sort((a, b) => (a.id < b.id ? -1 : 1)) as unknown[];
    const source = new RegistrySource(host, noted.registry, (_namespace, changed) => {
      for (const service of changed === "all" ? SERVICES : changed) {
        this.history.holds({ reader: name, ...noted.heard(), service, instances: look(service) });
      }
    });
    source.use(new Set([NAMESPACE]));
    const config = new ConfigSource(
      host,
      client.config,
      { namespace: NAMESPACE, instance: { id: follower.name, labels: {} } },
      {
        apply: (_config, { text }) => this.trace.note(`${name} applies ${text.trim().split("\n").at(-1)}`),
        refused: (problems) => this.history.defect(`${name} refused a good config: ${JSON.stringify(problems)}`),
      },
    );
    config.start();
    follower.state = () => Object.fromEntries(SERVICES.map((service) => [service, look(service)]));
  }

  #startDns(follower: Follower, host: Host, client: Client): void {
    const name = `dns#${follower.generation}`;
    const noted = noting(client);
    const catalog = new WatchedCatalog(host, noted, NAMESPACE);
    const look = (service: string) =>
      [...catalog.instances(NAMESPACE, service)].sort((a, b) => (a.id < b.id ? -1 : 1)) as unknown[];
    catalog.onChange((changed) => {
      const services = changed.length === 0 ? SERVICES : changed.map(({ service }) => service);
      for (const service of services) {
        this.history.holds({ reader: name, ...noted.heard(), service, instances: look(service) });
      }
    });
    this.#run(host, name, (signal) => catalog.run(signal));
    follower.state = () => Object.fromEntries(SERVICES.map((service) => [service, look(service)]));
  }

  // The parts that processes receive.

  #host(life: Life): Host {
    const random = fork(this.#seed, `${life.name}@${this.time.nowMs}`);
    return simHost(life, { time: this.time, trace: this.trace, random, onDefect: (text) => this.history.defect(text) });
  }

  #client(host: Host, life: Life, preferred: number): Client {
    const ways = this.#members.map(({ door }) => ({ door, link: this.#link(`${life.name}→${door.name}`) }));
    const { time, history } = this;
    const transport: Transport = new FaultyTransport({ time, history, life, ways }, preferred);
    return new Client(host, { transport, token: this.#token });
  }

  #link(name: string): Link {
    let link = this.#links.get(name);
    if (!link) {
      link = new Link(this.time, fork(this.#seed, `link/${name}`), this.#severity);
      link.calm = this.#calm;
      this.#links.set(name, link);
    }
    return link;
  }

  #setCalm(calm: boolean): void {
    this.#calm = calm;
    for (const link of this.#links.values()) link.calm = calm;
  }

  #run(host: Host, name: string, loop: (signal: AbortSignal) => Promise<void>): void {
    new TaskGroup(host.log).run(name, loop);
  }

  /** Writes down what the store does, at the moment that it does it. */
  async #record(): Promise<void> {
    const never = new AbortController();
    const watched = this.#engine.watch({ prefix: "", signal: never.signal });
    try {
      for await (const { revision, events } of watched) if (events.length > 0) this.history.committed(revision, events);
    } catch {
      // The world has ended.
    }
  }

  /** A call whose failure is part of the world. */
  #quietly(work: Promise<unknown> | undefined): void {
    work?.catch((error: unknown) => this.trace.note(`failed: ${messageOf(error)}`));
  }

  #below(limit: number): number {
    return randomInt(this.#chance, limit);
  }

  #pick<T>(items: readonly [T, ...T[]] | readonly T[]): T {
    return items[this.#below(Math.max(1, items.length))] as T;
  }
}

function dataDir(name: string): string {
  return `/sim/${name}/data`;
}

function gatewaySet() {
  return { namespace: NAMESPACE, app: GATEWAY_APP, profile: GATEWAY_PROFILE };
}

/** One release: every key says which one it is, and a long value says so at both ends. */
function itemsOf(app: string, profile: string, stamp: number) {
  if (app === GATEWAY_APP) {
    return { [GATEWAY_KEY]: { format: "yaml" as const, value: `clusters: []\nroutes: []\n# ${stamp}\n` } };
  }
  const text = (value: string) => ({ format: "text" as const, value });
  const own = { [`${profile}-a`]: text(String(stamp)), [`${profile}-b`]: text(String(stamp)) };
  return profile === "eu" ? { ...own, [FILE_KEY]: text(`${stamp} ${"x".repeat(40)} ${stamp}`) } : own;
}

/** A client that notes the revision of the latest frame before its reader sees it. */
function noting(client: Client): Pick<Client, "registry"> & { heard(): Pick<Held, "revision" | "cold"> } {
  let revision = 0;
  let cold = false;
  const watch: Client["registry"]["watch"] = async function* (query, options) {
    for await (const frame of client.registry.watch(query, options)) {
      revision = frame.revision;
      if (frame.event === "synced" || frame.event === "heartbeat") cold = frame.cold === true;
      yield frame;
    }
  };
  return { registry: { ...client.registry, watch }, heard: () => ({ revision, cold }) };
}
