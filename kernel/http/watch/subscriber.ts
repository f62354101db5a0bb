/** A reader of a watch: its connection, and how far it is. */
import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Subscription } from "./subscription.ts";

export class Subscriber {
  /** The subscriber was sent everything up to this revision. */
  cursor = 0;
  /** Whether it is up to date and receives what is published. */
  live = false;
  /** The last revision that it acknowledged. */
  seen = 0;
  /** Bytes of the largest frame that may still wait for it. */
  frameBytesMax = 0;
  readonly id: string;
  readonly sinceMs: number;
  readonly subscription: Subscription;
  readonly raw: ServerResponse;
  readonly #request: FastifyRequest;

  constructor(id: string, sinceMs: number, subscription: Subscription, { raw, request }: FastifyReply) {
    this.id = id;
    this.sinceMs = sinceMs;
    this.subscription = subscription;
    this.raw = raw;
    this.#request = request;
  }

  /** Whether its token or session is still valid. */
  isAllowed(): boolean {
    return this.#request.isCallerCurrent?.() ?? true;
  }
}
