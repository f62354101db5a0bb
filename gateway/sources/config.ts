/**
 * The gateway's config from the config server, by push: read, checked and told on when it is good. A bad one is told
 * as such and changes nothing; the one in force goes on.
 */
import { readFile } from "node:fs/promises";
import type { EffectiveConfig } from "#config-server/api";
import { messageOf, TaskGroup, type Host } from "#base";
import { GATEWAY_APP, GATEWAY_KEY, GATEWAY_PROFILE, type ConfigProblem, type GatewayConfig } from "../api.ts";
import type { Filters } from "../core/filter.ts";
import { parseGatewayConfig } from "../release.ts";
import type { GatewayClient, GatewaySettings } from "../settings.ts";

export interface ConfigListener {
  /** A config without a flaw, its files read. `text` is what it came from. */
  apply(config: GatewayConfig, release: { readonly key: string; readonly text: string }): void;
  refused(problems: readonly ConfigProblem[], release: { readonly key: string }): void;
}

export class ConfigSource implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["config"];
  readonly #settings: Pick<GatewaySettings, "namespace" | "instance" | "filters">;
  readonly #listener: ConfigListener;
  readonly #tasks: TaskGroup;
  #connected = false;

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

  start(): void {
    this.#tasks.run("gateway watches its config", (signal) => this.#watch(signal));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { namespace, instance } = this.#settings;
    const name = { namespace, app: GATEWAY_APP, profile: GATEWAY_PROFILE };
    const say = instance ? this.#client.acknowledger(name, instance, signal) : () => {};
    const frames = this.#client.watch(name, {
      signal,
      ...(instance ? { instance } : {}),
      onState: (state) => {
        this.#connected = state === "connected";
        this.#host.log.info({ state }, `config watch ${state}`);
      },
    });
    let last: string | undefined;
    for await (const frame of frames) {
      const config = frame.event === "snapshot" || frame.event === "delta" ? frame.data : undefined;
      // After a cut the same content comes again; there is nothing to build anew.
      if (!config || config.releaseKey === last) continue;
      last = config.releaseKey;
      const text = textOf(config);
      const read = await readConfig(text, this.#settings.filters);
      const { releaseKey: key } = config;
      for (const warning of read.warnings ?? [])
        this.#host.log.warn({ ...warning }, "a part of the config is of no use");
      if (read.config) {
        this.#listener.apply(read.config, { key, text });
        say(config);
      } else {
        this.#listener.refused(read.problems, { key });
        const [first] = read.problems;
        say(config, `${first?.pointer ?? ""} ${first?.message ?? ""}`.trim());
      }
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
  | { readonly config: GatewayConfig; readonly problems?: undefined; readonly warnings?: readonly ConfigProblem[] }
  | { readonly config?: undefined; readonly problems: readonly ConfigProblem[]; readonly warnings?: undefined };

/** Reads and checks a config text, and the files it names. */
export async function readConfig(text: string, filters?: Filters): Promise<ReadConfig> {
  const parsed = parseGatewayConfig(text, filters);
  if (!parsed.config) return { problems: parsed.problems };
  const read = await readFiles(parsed.config);
  return read.config ? { ...read, warnings: parsed.warnings } : read;
}

/** Puts the content of `caFile`s in place of their names, so that what follows needs no disk. */
async function readFiles(config: GatewayConfig): Promise<ReadConfig> {
  const problems: ConfigProblem[] = [];
  const read = async (path: string, pointer: string): Promise<string> => {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      problems.push({ pointer, message: `The file cannot be read here: ${messageOf(error)}.` });
      return "";
    }
  };
  const jwt = await Promise.all(
    (config.jwt ?? []).map(async (provider, index) => {
      const { caFile, ...jwks } = provider.jwks;
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
  return problems.length > 0 ? { problems } : { config: { ...config, jwt, clusters } };
}
