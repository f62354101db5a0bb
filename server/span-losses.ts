/** Counts the spans that no collector received, and warns about them now and then. */
import type { Host } from "#base";

/** Milliseconds between two warnings, since a collector can be absent for days. */
const WARNING_EVERY_MS = 60_000;

export interface LossCounter {
  /** One span was dropped, because too many are unsent. */
  full(): void;
  /** The collector did not take some spans. */
  failed(spans: number, reason: string): void;
}

export function lossCounter({ clock, log, metrics }: Host, url: string): LossCounter {
  const dropped = metrics.counter({
    name: "posthouse_spans_dropped_total",
    help: "Spans that no collector received, by reason: full (too many were unsent) or failed (an export failed).",
    labelNames: ["reason"],
  });
  const full = dropped.labels("full");
  const failed = dropped.labels("failed");
  // A series at zero shows that nothing was lost.
  full.inc(0);
  failed.inc(0);
  let warnedMs: number | undefined;
  const warn = (reason: string) => {
    const nowMs = clock.monotonic();
    if (warnedMs !== undefined && nowMs - warnedMs < WARNING_EVERY_MS) return;
    warnedMs = nowMs;
    log.warn({ url }, `spans are lost: ${reason}. Requests are not delayed. Check that otlpUrl and otlpProtocol fit.`);
  };
  return {
    full() {
      full.inc();
      warn("too many wait for the collector");
    },
    failed(spans, reason) {
      failed.inc(spans);
      warn(`the collector does not take them (${reason})`);
    },
  };
}
