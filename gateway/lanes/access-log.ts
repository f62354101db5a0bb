/**
 * The log lines of requests. What the gateway itself refused or had to cut is told at `info`, whatever its status, and
 * so is a service's failure; the rest is for `debug`. Anybody can be refused as often as he likes, so such lines are
 * capped by flag: those beyond are for `debug`, too, and a line says how many they were.
 */
import type { Host } from "#base";
import type { GatewayFlag } from "../api.ts";
import { LineCap } from "../core/request/line-cap.ts";

/** Milliseconds from the first line that was left out to the line that says how many were. */
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
    // What a stricter setting would refuse is looked for by operators before they set it.
    if (fields.pathReports && this.#cap.take("report", clock.monotonic())) {
      log.warn(fields, "a path that services read in two ways was let pass");
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
      this.#host.log.info({ flag, lines }, "lines of failed requests left out");
    }
  }

  [Symbol.dispose](): void {
    this.#tell();
  }
}
