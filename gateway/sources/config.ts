/**
 * The gateway's config, pushed by the config server. It is read and checked; a valid one is applied. An invalid one is
 * reported and changes nothing. The same holds for an older one, from a server whose store was lost or restored.
 */
import { isOlder, type ConfigAt, type EffectiveConfig } from "#config-server/api";
import { messageOf, TaskGroup, type Host } from "#base";
import { GATEWAY_APP, GATEWAY_KEY, GATEWAY_PROFILE, type ConfigProblem, type GatewayConfig } from "../api.ts";
import type { Filters } from "../core/request/filter.ts";
import { parseGatewayConfig } from "../config-text.ts";
import type { GatewayClient, GatewaySettings } from "../settings.ts";
import { NamedFileReader, type NamedFiles } from "./named-files.ts";
import { pemProblems } from "./pem.ts";

/** A config's text and origin. */
export interface Release {
  readonly key: string;
  readonly text: string;
  /** The files that it names, as they were when it was read. */
  readonly files: NamedFiles;
  /** The store's revision at the release, and at the time the server sent it; absent: it came from no server. */
  readonly at?: { readonly revision: number; readonly storeRevision: number } | undefined;
}

export interface ConfigListener {
  /** A valid config whose files were read. */
  apply(config: GatewayConfig, release: Release): void;
  refused(problems: readonly ConfigProblem[], release: { readonly key: string }): void;
}

/** Milliseconds between two comparisons with the server, plus or minus a fifth: the safety net under the push. */
const AUDIT_MS = 300_000;
/** Milliseconds to wait for the push of a release that a comparison found first. */
const UNDER_WAY_MS = 2_000;

/** Acknowledges a config to the config server, or reports why it failed. */
type Say = (config: EffectiveConfig, error?: unknown) => void;

export class ConfigSource implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["config"];
  readonly #settings: Pick<GatewaySettings, "namespace" | "instance" | "filters">;
  readonly #listener: ConfigListener;
  readonly #tasks: TaskGroup;
  #connected = false;
  /** The config received last. */
  #last: EffectiveConfig | undefined;
  /** The newest known config, possibly from before the start. */
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

  /** Sets the config known from an earlier run. */
  remember({ key: releaseKey, at }: Pick<Release, "key" | "at">): void {
    if (at) this.#known = { value: { releaseKey, revision: at.revision }, revision: at.storeRevision };
  }

  start(): void {
    this.#tasks.run("gateway watches its config", (signal) => this.#watch(signal));
    this.#tasks.run("gateway compares its config", (signal) => this.#audit(signal));
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
      // After a reconnect the same content arrives again, and need not be built again.
      if (config.releaseKey !== this.#last?.releaseKey) await this.#take(config, say);
    }
  }

  /** Whether the server has an older config than the known one. An empty config may also come from a lost store. */
  #holdsBack(config: EffectiveConfig, storeRevision: number): boolean {
    const known = this.#known;
    if (!known || known.value.revision === 0) return false;
    if (config.revision !== 0 && !isOlder(known, { value: config, revision: storeRevision })) return false;
    const theirs = config.revision === 0 ? "has nothing released" : `has a config of revision ${config.revision}`;
    const own = `this gateway already uses revision ${known.value.revision} and keeps it`;
    const message = `The server ${theirs}, but ${own}. Release the config again.`;
    this.#listener.refused([{ pointer: "", message }], { key: config.releaseKey });
    return true;
  }

  /** Compares the current config with the server's from time to time, and takes a release that the push missed. */
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
        this.#host.log.warn({ releaseKey: theirs.releaseKey }, "the config watch missed a release; applying it now");
        this.#known = { value: theirs, revision: Math.max(theirs.revision, this.#known?.revision ?? 0) };
        await this.#take(theirs, say);
      } catch (error) {
        if (!signal.aborted)
          this.#host.log.debug(
            { err: error },
            `the config could not be compared with the server's: ${messageOf(error)}`,
          );
      }
    }
  }

  #sayer(signal: AbortSignal): Say {
    const { instance } = this.#settings;
    return instance ? this.#client.acknowledger(this.#name, instance, signal) : () => {};
  }

  async #take(config: EffectiveConfig, say: Say): Promise<void> {
    this.#last = config;
    const text = configTextOf(config);
    const at = { revision: config.revision, storeRevision: this.#known?.revision ?? config.revision };
    const read = await readConfig(text, this.#settings.filters);
    const { releaseKey: key } = config;
    for (const warning of read.warnings ?? [])
      this.#host.log.warn({ ...warning }, "a part of the config has no effect");
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

/** The config's text; empty before the first release: a gateway without routes. */
function configTextOf(config: EffectiveConfig): string {
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

/** Reads and checks a config text and the files that it names. */
export async function readConfig(text: string, filters?: Filters): Promise<ReadConfig> {
  const parsed = parseGatewayConfig(text, filters);
  if (!parsed.config) return { problems: parsed.problems };
  const read = await readFiles(parsed.config);
  return read.config ? { ...read, warnings: parsed.warnings } : read;
}

/** Adds the content of named files to the config, so that later steps read no files. */
async function readFiles(config: GatewayConfig): Promise<ReadConfig> {
  const problems: ConfigProblem[] = [];
  const files = new NamedFileReader();
  const read = async (path: string, pointer: string): Promise<string> => {
    try {
      return await files.read(path);
    } catch (error) {
      problems.push({ pointer, message: `The file cannot be read on this host: ${messageOf(error)}.` });
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
