/**
 * Acknowledges the releases that a command runs with, or says why it cannot run with them. It never keeps the command from running or
 * from ending.
 */
import { hostname } from "node:os";
import { basename } from "node:path";
import { messageOf } from "#base";
import { AcknowledgementOutbox, subscriberNameOf } from "#client/follow";
import { say } from "./child.ts";
import type { ConfigSource } from "./config-source.ts";
import { commandHost } from "./control-client.ts";
import type { EffectiveConfig } from "./environment.ts";

/** Milliseconds after which everything is acknowledged again: well within the hour that the server keeps it. */
const REPEAT_MS = 20 * 60_000;
/** Milliseconds that the end of a command waits for acknowledgements that are still due. */
const FAREWELL_MS_MAX = 500;

/** The subscriber's name of a command: that of its host and its own. */
export function subscriberOf(command: string): string {
  return subscriberNameOf(`${hostname()}-${basename(command)}`, "exec");
}

export class Acknowledging implements AsyncDisposable {
  readonly #outbox: AcknowledgementOutbox;
  readonly #subscriber: string;
  #problem: string | undefined;

  constructor(source: ConfigSource, subscriber: string) {
    this.#subscriber = subscriber;
    const report = (error: unknown) => {
      if (this.#problem !== messageOf(error)) say(`the release is not acknowledged: ${messageOf(error)}`);
      this.#problem = messageOf(error);
    };
    this.#outbox = new AcknowledgementOutbox(commandHost(), {
      send: source.acknowledge,
      repeatMs: REPEAT_MS,
      farewellMs: FAREWELL_MS_MAX,
      onAccepted: () => (this.#problem = undefined),
      onUnanswered: report,
      onRejected: report,
    });
  }

  /** Acknowledges these releases. A set without a release is left out. */
  say(configs: readonly EffectiveConfig[], outcome: "applied" | "failed", error?: string): void {
    for (const { namespace, app, profile, releaseKey, revision } of configs) {
      if (revision === 0) continue;
      const body = { releaseKey, outcome, ...(error === undefined ? {} : { error }) };
      this.#outbox.put({ namespace, app, profile }, this.#subscriber, body);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#outbox[Symbol.asyncDispose]();
  }
}
