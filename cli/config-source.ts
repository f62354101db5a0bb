/**
 * The source of a command's config: the agent of this host, which also answers while the control plane is away, or the control
 * plane itself when the settings name it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { systemRandom } from "#base/library";
import { fullJitter } from "#base";
import { type Client, errorFromProblem, fetchTransport, type Transport } from "#client";
import { type LoadedSettings } from "#settings";
import { AGENT_WAY_SETTINGS, agentWay } from "./agent-way.ts";
import { withControlClient } from "./control-client.ts";
import { trustOf } from "./control-trust.ts";
import type { EffectiveConfig } from "./environment.ts";

/** The settings that name the source of config. */
export const SOURCE_SETTINGS = ["controlUrls", "token", ...AGENT_WAY_SETTINGS] as const;
/** Seconds that the agent holds a request while the config does not change. */
const WAIT_SECONDS = 25;
/** Milliseconds that an answer may take beyond that. */
const ANSWER_MS_MAX = 10_000;
/** Back-off while the agent is away: quick at first, since a restart takes a second. Milliseconds. */
const RETRY = { baseMs: 100, capMs: 5_000 };

type SetName = Parameters<Client["config"]["acknowledge"]>[0];

export interface ConfigSource {
  /** The config now and at each change. `onAway` receives the reason when the source does not answer. Ends with the signal only. */
  follow(
    name: SetName,
    options: { signal: AbortSignal; onAway: (error: unknown) => void },
  ): AsyncIterable<EffectiveConfig>;
  readonly acknowledge: Client["config"]["acknowledge"];
}

/** Runs with the control plane when a token or `--control-urls` is given, else with the agent of this host. */
export async function withConfigSource<T>(
  settings: LoadedSettings,
  run: (source: ConfigSource) => Promise<T>,
): Promise<T> {
  const { values, sources } = settings;
  if (values.token !== undefined || sources.controlUrls === "flag") {
    const tls = await trustOf(values);
    return await withControlClient({ values: { ...values, tls } }, (client) => run(controlSource(client)));
  }
  const { to, headers } = await agentWay(settings);
  await using transport = fetchTransport(to);
  return await run(agentSource(transport, headers));
}

function controlSource(client: Client): ConfigSource {
  return {
    async *follow(name, { signal, onAway }) {
      const onState = (state: "connected" | "disconnected", error?: unknown) => {
        if (state === "disconnected" && error !== undefined) onAway(error);
      };
      for await (const frame of client.config.watch(name, { signal, onState })) {
        if (frame.event === "snapshot" || frame.event === "delta") yield frame.data as EffectiveConfig;
      }
    },
    acknowledge: client.config.acknowledge,
  };
}

function agentSource(transport: Transport, headers: () => Promise<Record<string, string>>): ConfigSource {
  const pathOf = ({ namespace, app, profile }: SetName) => `/v1/agent/config/${namespace}/${app}/${profile}`;
  return {
    async *follow(name, { signal, onAway }) {
      let known: string | undefined;
      let attempt = 0;
      while (!signal.aborted) {
        try {
          const late = AbortSignal.timeout(WAIT_SECONDS * 1000 + ANSWER_MS_MAX);
          const answer = await transport.request({
            method: "GET",
            path: known === undefined ? pathOf(name) : `${pathOf(name)}?wait=${WAIT_SECONDS}`,
            headers: { ...(await headers()), ...(known === undefined ? {} : { "if-none-match": `"${known}"` }) },
            signal: AbortSignal.any([signal, late]),
          });
          const text = await answer.text();
          if (answer.status >= 400) throw errorFromProblem(answer.status, text);
          attempt = 0;
          if (answer.status === 304) continue;
          const config = JSON.parse(text) as EffectiveConfig;
          known = config.releaseKey;
          yield config;
        } catch (error) {
          if (signal.aborted) return;
          onAway(error);
          const pauseMs = RETRY.baseMs / 2 + fullJitter(systemRandom, attempt++, RETRY);
          await sleep(pauseMs, undefined, { signal }).catch(() => {});
        }
      }
    },
    async acknowledge(name, subscriber, body, { signal } = {}) {
      const path = `${pathOf(name)}/acknowledgements/${encodeURIComponent(subscriber)}`;
      const late = AbortSignal.timeout(ANSWER_MS_MAX);
      const answer = await transport.request({
        method: "PUT",
        path,
        headers: await headers(),
        body,
        signal: signal ? AbortSignal.any([signal, late]) : late,
      });
      const text = await answer.text();
      if (answer.status >= 400) throw errorFromProblem(answer.status, text);
    },
  };
}
