/**
 * The log lines of requests. A request that the gateway rejected or cut is logged at `info`, and so is a failure of a
 * service; all others are logged at `debug`. Clients can cause rejections at any rate, so those lines are limited per
 * flag: the rest are logged at `debug`, and one line reports their number.
 */
import type { Host } from "#base";
import type { GatewayFlag } from "../api.ts";
import { LineCap } from "../core/request/line-cap.ts";

/** Milliseconds from the first omitted line to the line that reports how many were omitted. */
const TELL_MS = 1_000;

export class AccessLog implements Disposable {
  readonly #host: Host;
  readonly #cap = new LineCap();
  #cancel: (() => void) | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  request(fields: {
    readonly status: number;
    readonly flag?: GatewayFlag;
    readonly pathReports?: readonly string[];
  }): void {
    const { log, clock } = this.#host;
    const { flag } = fields;
    // Operators look for these lines before they choose a stricter setting.
    if (fields.pathReports && this.#cap.take("report", clock.monotonic())) {
      log.warn(fields, "forwarded a path that services may interpret in two ways");
    }
    if (flag === undefined) {
      if (fields.status >= 500) log.info(fields, "request failed");
      else log.debug(fields, "request");
    } else if (this.#cap.take(flag, clock.monotonic())) {
      log.info(fields, "request failed");
    } else {
      log.debug(fields, "request failed");
      this.#cancel ??= clock.after(TELL_MS, () => this.#tell());
    }
  }

  #tell(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const [flag, lines] of this.#cap.leftOut()) {
      this.#host.log.info({ flag, lines }, "further failed requests were not logged");
    }
  }

  [Symbol.dispose](): void {
    this.#tell();
  }
}
