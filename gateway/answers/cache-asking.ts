/**
 * Handles the service's answer to a request that the cache had nothing fresh for. The answer is stored as it passes, or
 * confirms the stored one (304), or is an error, on which a stale answer may be served.
 */
import { answerHeaders } from "../core/decision/headers.ts";
import { headerList, headerRecord } from "../core/request/header-list.ts";
import type { AnswerHeaders } from "../core/request/header-list.ts";
import type { Forward } from "../core/decision/pipeline.ts";
import {
  cacheStatus,
  isGoodOnError,
  mayKeep,
  renewedBy,
  storedHead,
  withCacheStatus,
  type AskedHeaders,
  type ForwardReason,
  type StoredHead,
} from "../core/decision/stored-answer.ts";
import type { CallFailure, CallSink } from "../upstream/call-plan.ts";
import type { WholeEnd } from "../upstream/end.ts";
import type { Transfer } from "../upstream/transfer.ts";
import type { CachedAnswer, Outcome } from "./cache-entry.ts";
import { hasCondition } from "./cache-rules.ts";
import { Relay } from "./relay.ts";

export interface Question {
  readonly key: string;
  readonly resource: string;
  /** The number of the last change when the request was sent. */
  readonly askedAt: number;
  readonly request: AskedHeaders;
  readonly reason: ForwardReason;
  readonly forward: Forward;
  /** Stored, but it must be revalidated. */
  readonly stale: CachedAnswer | undefined;
  /** Ends the wait of the requests that wait for this answer. */
  readonly land: () => void;
  /** The same after a while, however slowly this client reads. */
  readonly landLater: () => void;
}

/** The part of the cache that one request uses. */
export interface AnswerStore {
  now(): { readonly nowMs: number; readonly wallMs: number };
  count(outcome: Outcome): void;
  changedSince(resource: string, at: number): boolean;
  keep(key: string, entry: CachedAnswer): void;
  replace(key: string, before: CachedAnswer, after: CachedAnswer | undefined): void;
  answer(
    sink: CallSink,
    entry: CachedAnswer,
    how: { readonly outcome: "hit" | "stale" | "revalidated"; readonly status: string },
    asked?: { readonly request: AskedHeaders; readonly method: string },
    more?: AnswerHeaders,
  ): void;
}

const NOTHING_SET = [] as const;

export class Asking extends Relay implements Transfer {
  readonly #cache: AnswerStore;
  readonly #question: Question;
  #transfer: Transfer | undefined;
  /** The client received a stored answer. The rest of this one is discarded. */
  #settled = false;
  #kept: { readonly head: StoredHead; readonly length: number | undefined } | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(cache: AnswerStore, question: Question, to: CallSink) {
    super(to);
    this.#cache = cache;
    this.#question = question;
  }

  over(transfer: Transfer): this {
    this.#transfer = transfer;
    return this;
  }

  override onHead(status: number, list: readonly string[], more: boolean): void {
    const headers = this.#settle(status, list);
    if (headers) this.to.onHead(status, headers, more);
  }

  override onData(chunk: Buffer): boolean {
    if (this.#settled) return true;
    if (this.#kept) {
      this.#bytes += chunk.length;
      if (this.#bytes > (this.#question.forward.route.cache?.entryBytesMax ?? 0)) this.#forget();
      else this.#chunks.push(chunk);
    }
    return this.to.onData(chunk);
  }

  override onEnd(trailers: WholeEnd): void {
    if (this.#settled) return;
    this.#keep();
    this.to.onEnd(trailers);
  }

  override onWhole(status: number, list: readonly string[], body: Buffer | undefined): void {
    const headers = this.#settle(status, list);
    if (!headers) return;
    if (this.#kept && body) {
      this.#bytes = body.length;
      if (body.length > (this.#question.forward.route.cache?.entryBytesMax ?? 0)) this.#forget();
      else this.#chunks.push(body);
    }
    this.#keep();
    this.to.onWhole(status, headers, body);
  }

  override onFailure(failure: CallFailure): void {
    this.#question.land();
    if (this.#settled) return;
    if (!this.#kept && this.#serveStale()) return;
    this.to.onFailure(failure);
  }

  resume(): void {
    this.#transfer?.resume();
  }

  abort(late?: boolean): void {
    this.#question.land();
    this.#transfer?.abort(late);
  }

  /** The headers of the answer; undefined when the client received a stored answer. */
  #settle(status: number, list: readonly string[]): string[] | undefined {
    const { request, reason, stale } = this.#question;
    if (status >= 500 && this.#serveStale(status)) {
      this.#question.land();
      return undefined;
    }
    const headers = headerRecord(answerHeaders(list, NOTHING_SET));
    // A 304 to the client's own condition is passed to the client.
    if (stale && status === 304 && !hasCondition(request)) {
      this.#renew(stale, headers);
      return undefined;
    }
    this.#cache.count("miss");
    const now = this.#cache.now();
    const head = storedHead(status, headers, request, now);
    if (mayKeep(head, now.nowMs)) {
      const length = headers["content-length"];
      this.#kept = { head, length: length === undefined ? undefined : Number(length) };
      this.#question.landLater();
      headers["cache-status"] = withCacheStatus(headers, cacheStatus(reason, "stored"));
    } else {
      this.#question.land();
      headers["cache-status"] = withCacheStatus(headers, cacheStatus(reason));
    }
    return headerList(headers);
  }

  /** `status`: of the service's answer; undefined if there was none. */
  #serveStale(status?: number): boolean {
    const { stale, reason, forward, resource, askedAt } = this.#question;
    if (
      !stale ||
      this.#cache.changedSince(resource, askedAt) ||
      !isGoodOnError(stale.head, forward.route.cache?.staleIfErrorSeconds ?? 0, this.#cache.now().nowMs)
    )
      return false;
    this.#settled = true;
    const answered = status === undefined ? [] : [`fwd-status=${status}`];
    const said = cacheStatus(reason, ...answered, "detail=stale-if-error");
    this.#cache.answer(this.to, stale, { outcome: "stale", status: said });
    return true;
  }

  /** The service confirmed the stored answer. Its headers update the stored ones. */
  #renew(stale: CachedAnswer, headers: AnswerHeaders): void {
    const { key, request, reason, resource, askedAt, land } = this.#question;
    const now = this.#cache.now();
    const { head, personal } = renewedBy(stale.head, headers, request, now);
    const renewed: CachedAnswer = { ...stale, head };
    const kept = mayKeep(head, now.nowMs) && !this.#cache.changedSince(resource, askedAt);
    this.#cache.replace(key, stale, kept ? renewed : undefined);
    this.#settled = true;
    land();
    this.#cache.answer(
      this.to,
      renewed,
      { outcome: "revalidated", status: cacheStatus(reason, "fwd-status=304") },
      undefined,
      personal,
    );
  }

  /** Stores the answer, which has passed as a whole. */
  #keep(): void {
    const kept = this.#kept;
    if (kept && (kept.length === undefined || kept.length === this.#bytes)) {
      const { head } = kept;
      const { key, resource, askedAt } = this.#question;
      // An answer from before a change may show the old state.
      if (!this.#cache.changedSince(resource, askedAt)) {
        this.#cache.keep(key, { head, body: Buffer.concat(this.#chunks), resource });
      }
    }
    this.#question.land();
  }

  #forget(): void {
    this.#kept = undefined;
    this.#chunks = [];
    this.#question.land();
  }
}
