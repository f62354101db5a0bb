/**
 * The gateway's config from the config server, by push: read, checked and told on when it is good. A bad one is told
 * as such and changes nothing; the one in force goes on. So is an older one, of a server whose store was lost or set back.
 */
import { isOlder, type ConfigAt, type EffectiveConfig } from "#config-server/api";
import { messageOf, TaskGroup, type Host } from "#base";
import { GATEWAY_APP, GATEWAY_KEY, GATEWAY_PROFILE, type ConfigProblem, type GatewayConfig } from "../api.ts";
import type { Filters } from "../core/request/filter.ts";
import { parseGatewayConfig } from "../config-text.ts";
import type { GatewayClient, GatewaySettings } from "../settings.ts";
import { NamedFileReader, type NamedFiles } from "./named-files.ts";
import { pemProblems } from "./pem.ts";

/** Where a config came from. */
export interface Release {
  readonly key: string;
  readonly text: string;
  /** That it names, as they were when it was read. */
  readonly files: NamedFiles;
  /** When it was released, by the store's revision, and how far the store was when it said so; absent: by no server. */
  readonly at?: { readonly revision: number; readonly storeRevision: number } | undefined;
}

export interface ConfigListener {
  /** A config without a flaw, its files read. */
  apply(config: GatewayConfig, release: Release): void;
  refused(problems: readonly ConfigProblem[], release: { readonly key: string }): void;
}

/** Milliseconds between two looks at what the server has, give or take a fifth: the safety net under the push. */
const AUDIT_MS = 300_000;
/** Milliseconds that news may be under way by push while the answer of a look came first. */
const UNDER_WAY_MS = 2_000;

/** Says to the config server what became of a config. */
type Say = (config: EffectiveConfig, error?: unknown) => void;

export class ConfigSource implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["config"];
  readonly #settings: Pick<GatewaySettings, "namespace" | "instance" | "filters">;
  readonly #listener: ConfigListener;
  readonly #tasks: TaskGroup;
  #connected = false;
  /** What was heard last. */
  #last: EffectiveConfig | undefined;
  /** The newest that is known, from before the start perhaps. */
  #known: ConfigAt | undefined;

  constructor(
    host: Host,
    client: GatewayClient["config"],
    settings: Pick<GatewaySettings, "namespace" | "instance" | "filters">,
    listener: ConfigListener,
  ) {
    this.#host = host;
    this.#client = client;
    this.#settings = settings;
    this.#listener = listener;
    this.#tasks = new TaskGroup(host.log);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** What an earlier start of this gateway knew. */
  remember({ key: releaseKey, at }: Pick<Release, "key" | "at">): void {
    if (at) this.#known = { value: { releaseKey, revision: at.revision }, revision: at.storeRevision };
  }

  start(): void {
    this.#tasks.run("gateway watches its config", (signal) => this.#watch(signal));
    this.#tasks.run("gateway looks after its config", (signal) => this.#audit(signal));
  }

  get #name() {
    return { namespace: this.#settings.namespace, app: GATEWAY_APP, profile: GATEWAY_PROFILE };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { instance } = this.#settings;
    const say = this.#sayer(signal);
    const frames = this.#client.watch(this.#name, {
      signal,
      ...(instance ? { instance } : {}),
      onState: (state) => {
        this.#connected = state === "connected";
        this.#host.log.info({ state }, `config watch ${state}`);
      },
    });
    for await (const frame of frames) {
      const config = frame.event === "snapshot" || frame.event === "delta" ? frame.data : undefined;
      if (!config || this.#holdsBack(config, frame.revision)) continue;
      this.#known = { value: config, revision: frame.revision };
      // After a cut the same content comes again; there is nothing to build anew.
      if (config.releaseKey !== this.#last?.releaseKey) await this.#take(config, say);
    }
  }

  /** Whether the server has an older config than is known here. An empty one is a lost store's, too. */
  #holdsBack(config: EffectiveConfig, storeRevision: number): boolean {
    const known = this.#known;
    if (!known || known.value.revision === 0) return false;
    if (config.revision !== 0 && !isOlder(known, { value: config, revision: storeRevision })) return false;
    const theirs = config.revision === 0 ? "has nothing released" : `has a release of revision ${config.revision}`;
    const message = `The server ${theirs}, and one of revision ${known.value.revision} is known here. It is kept until the server's store has passed it; release it anew.`;
    this.#listener.refused([{ pointer: "", message }], { key: config.releaseKey });
    return true;
  }

  /** Now and then holds what is known against the server's, and takes what the push never brought. */
  async #audit(signal: AbortSignal): Promise<void> {
    const { instance } = this.#settings;
    const say = this.#sayer(signal);
    while (!signal.aborted) {
      await this.#host.clock.sleep(AUDIT_MS * (0.8 + 0.4 * this.#host.random.float()), signal).catch(() => {});
      const known = this.#last;
      if (signal.aborted || !known) continue;
      try {
        const options = { signal, ...(instance ? { instance } : {}) };
        const theirs = await this.#client.effectiveOtherThan(this.#name, known.releaseKey, options);
        if (!theirs) continue;
        await this.#host.clock.sleep(UNDER_WAY_MS, signal);
        if (this.#last?.releaseKey !== known.releaseKey || theirs.revision < known.revision) continue;
        this.#host.log.warn({ releaseKey: theirs.releaseKey }, "the config watch missed a release; it is taken now");
        this.#known = { value: theirs, revision: Math.max(theirs.revision, this.#known?.revision ?? 0) };
        await this.#take(theirs, say);
      } catch (error) {
        if (!signal.aborted) this.#host.log.debug({ err: error }, `the config was not audited: ${messageOf(error)}`);
      }
    }
  }

  #sayer(signal: AbortSignal): Say {
    const { instance } = this.#settings;
    return instance ? this.#client.acknowledger(this.#name, instance, signal) : () => {};
  }

  async #take(config: EffectiveConfig, say: Say): Promise<void> {
    this.#last = config;
    const text = textOf(config);
    const at = { revision: config.revision, storeRevision: this.#known?.revision ?? config.revision };
    const read = await readConfig(text, this.#settings.filters);
    const { releaseKey: key } = config;
    for (const warning of read.warnings ?? []) this.#host.log.warn({ ...warning }, "a part of the config is of no use");
    if (read.config) {
      this.#listener.apply(read.config, { key, text, at, files: read.files });
      say(config);
    } else {
      this.#listener.refused(read.problems, { key });
      const [first] = read.problems;
      say(config, `${first?.pointer ?? ""} ${first?.message ?? ""}`.trim());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** Nothing released yet is a gateway without routes. */
function textOf(config: EffectiveConfig): string {
  return config.items[GATEWAY_KEY]?.value ?? "";
}

export type ReadConfig =
  | {
      readonly config: GatewayConfig;
      readonly files: NamedFiles;
      readonly problems?: undefined;
      readonly warnings?: readonly ConfigProblem[];
    }
  | { readonly config?: undefined; readonly problems: readonly ConfigProblem[]; readonly warnings?: undefined };

/** Reads and checks a config text, and the files it names. */
export async function readConfig(text: string, filters?: Filters): Promise<ReadConfig> {
  const parsed = parseGatewayConfig(text, filters);
  if (!parsed.config) return { problems: parsed.problems };
  const read = await readFiles(parsed.config);
  return read.config ? { ...read, warnings: parsed.warnings } : read;
}

/** Puts the content of files in place of their names, or beside them, so that what follows needs no disk. */
async function readFiles(config: GatewayConfig): Promise<ReadConfig> {
  const problems: ConfigProblem[] = [];
  const files = new NamedFileReader();
  const read = async (path: string, pointer: string): Promise<string> => {
    try {
      return await files.read(path);
    } catch (error) {
      problems.push({ pointer, message: `The file cannot be read here: ${messageOf(error)}.` });
      return "";
    }
  };
  const jwt = await Promise.all(
    (config.jwt ?? []).map(async (provider, index) => {
      const { caFile, ...jwks } = provider.jwks ?? {};
      if (caFile === undefined) return provider;
      return { ...provider, jwks: { ...jwks, ca: await read(caFile, `/jwt/${index}/jwks/caFile`) } };
    }),
  );
  const clusters = await Promise.all(
    (config.clusters ?? []).map(async (cluster, index) => {
      if (cluster.tls?.caFile === undefined) return cluster;
      const { caFile, ...tls } = cluster.tls;
      return { ...cluster, tls: { ...tls, ca: await read(caFile, `/clusters/${index}/tls/caFile`) } };
    }),
  );
  const listeners = await Promise.all(
    (config.listeners ?? []).map(async (listener, index) => {
      const { clientCertificates: clients, certificates } = listener;
      const at = `/listeners/${index}`;
      const given = async (text: string | undefined, path: string | undefined, pointer: string) =>
        path === undefined ? text : await read(path, pointer);
      return {
        ...listener,
        ...(clients && {
          clientCertificates: {
            ...clients,
            ca: (await given(clients.ca, clients.caFile, `${at}/clientCertificates/caFile`)) ?? "",
          },
        }),
        ...(certificates && {
          certificates: await Promise.all(
            certificates.map(async (one, nth) => ({
              ...one,
              cert: (await given(one.cert, one.certFile, `${at}/certificates/${nth}/certFile`)) ?? "",
              key: (await given(one.key, one.keyFile, `${at}/certificates/${nth}/keyFile`)) ?? "",
            })),
          ),
        }),
      };
    }),
  );
  const whole = { ...config, jwt, clusters, ...(config.listeners ? { listeners } : {}) };
  if (problems.length === 0) problems.push(...pemProblems(whole));
  return problems.length > 0 ? { problems } : { config: whole, files: files.seen };
}
