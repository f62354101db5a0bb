/**
 * Acknowledges the releases that this host has applied, or says why it could not, under the host's session; and forwards the
 * acknowledgements of programs on this host.
 */
import { messageOf, type Host } from "#base";
import { AcknowledgementOutbox, subscriberNameOf } from "#client/follow";
import { ConfigErrors, type Acknowledge, type SetName } from "#config-server/api";
import { AgentErrors } from "./api.ts";
import type { ControlPlane } from "./caches.ts";

/** Acknowledgements that the agent keeps at once: its own, and those of programs that wait to be forwarded. */
const ACKNOWLEDGEMENTS_MAX = 1_000;

interface OwnAcknowledgement {
  readonly name: SetName;
  readonly body: Acknowledge;
}

export class Acknowledger implements AsyncDisposable {
  readonly #outbox: AcknowledgementOutbox;
  readonly #subscriber: string;
  readonly #session: () => string | undefined;
  /** By set. They belong to the session: each session sends them again, and without one they wait. */
  readonly #own = new Map<string, OwnAcknowledgement>();

  /** `subscriber`: this host's name. `session`: the session of its own acknowledgements. */
  constructor(
    host: Host,
    client: ControlPlane["config"],
    options: { subscriber: string; session: () => string | undefined },
  ) {
    this.#subscriber = subscriberNameOf(options.subscriber, "host");
    this.#session = options.session;
    const results = host.metrics.counter({
      name: "posthouse_agent_acknowledgements_total",
      help: "Acknowledgements sent to the config server, by outcome; refused: the server rejected them.",
      labelNames: ["outcome"],
    });
    this.#outbox = new AcknowledgementOutbox(host, {
      send: (name, subscriber, body, call) => client.acknowledge(name, subscriber, body, call),
      onAccepted: ({ outcome }) => results.labels(outcome).inc(),
      onRejected: (error, name) => {
        results.labels("refused").inc();
        // A lapsed session is replaced soon, and the next one sends the acknowledgement again.
        const level = ConfigErrors.SESSION_NOT_FOUND.is(error) ? "debug" : "warn";
        host.log[level]({ ...name, err: error }, `the server rejected an acknowledgement: ${messageOf(error)}`);
      },
    });
  }

  /** Sets this host's own acknowledgement of a config set. */
  acknowledge(name: SetName, body: Acknowledge): void {
    const own = { name, body };
    this.#own.set(`${name.namespace}/${name.app}/${name.profile}`, own);
    this.#send(own);
  }

  /**
   * Forwards the acknowledgement of a program on this host.
   * @throws AGENT_ACKNOWLEDGEMENT_INVALID for this host's own name, AGENT_ACKNOWLEDGEMENTS_FULL
   */
  forward(name: SetName, subscriber: string, body: Acknowledge): void {
    if (subscriber === this.#subscriber) {
      throw AgentErrors.ACKNOWLEDGEMENT_INVALID(
        `"${subscriber}" is the name of the agent, which acknowledges its own files. Use another name.`,
      );
    }
    if (this.#outbox.size >= ACKNOWLEDGEMENTS_MAX) {
      throw AgentErrors.ACKNOWLEDGEMENTS_FULL(
        `${ACKNOWLEDGEMENTS_MAX} acknowledgements already wait for the control plane, which is the maximum. Send it again later.`,
      );
    }
    this.#outbox.put(name, subscriber, body, { isOnce: true });
  }

  /** Sends the host's own acknowledgements again, under another session. */
  sessionChanged(): void {
    for (const own of this.#own.values()) this.#send(own);
  }

  #send({ name, body }: OwnAcknowledgement): void {
    const session = this.#session();
    if (session === undefined) this.#outbox.remove(name, this.#subscriber);
    else this.#outbox.put(name, this.#subscriber, { ...body, session });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#outbox[Symbol.asyncDispose]();
  }
}
