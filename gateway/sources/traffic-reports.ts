/** Reports to the control plane what this gateway has handled. A worker reports on its own; the control plane adds them up. */
import { messageOf, randomId, type CancelTimer, type Host } from "#base";
import { TRAFFIC_REPORT_MS, type TrafficReport } from "#traffic/api";
import type { GatewayClient } from "../settings.ts";

const REPORTER_BYTES = 4;

export class TrafficReports implements Disposable {
  readonly #host: Host;
  readonly #client: NonNullable<GatewayClient["traffic"]>;
  readonly #namespace: string;
  readonly #take: () => Omit<TrafficReport, "reporter"> | undefined;
  /** Two processes must not share a name, and a restarted process is another one. */
  readonly #reporter: string;
  #cancel: CancelTimer = () => {};
  #isFailing = false;

  constructor(
    host: Host,
    client: NonNullable<GatewayClient["traffic"]>,
    given: { namespace: string; name: string; take: () => Omit<TrafficReport, "reporter"> | undefined },
  ) {
    this.#host = host;
    this.#client = client;
    this.#namespace = given.namespace;
    this.#take = given.take;
    this.#reporter = `${given.name.slice(0, 100)}.${randomId(host.random, REPORTER_BYTES)}`;
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#cancel = () => {};
  }

  #schedule(): void {
    this.#cancel = this.#host.clock.after(TRAFFIC_REPORT_MS, () => {
      this.#schedule();
      void this.#report();
    });
  }

  /** A report that fails is lost: two seconds of a picture are not worth a queue. */
  async #report(): Promise<void> {
    const counts = this.#take();
    if (counts === undefined) return;
    try {
      await this.#client.report(this.#namespace, { reporter: this.#reporter, ...counts });
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#host.log.debug({}, `traffic not reported: ${messageOf(error)}`);
      this.#isFailing = true;
    }
  }
}
