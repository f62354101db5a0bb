/** The choice between OpenMetrics and the older text by the `Accept` header. */
import { expect, test } from "vitest";
import { metricsFormat } from "../../kernel/http/metrics-format.ts";

test.each([
  [undefined, "text"],
  ["", "text"],
  ["*/*", "text"],
  ["text/plain", "text"],
  ["application/json", "text"],
  ["application/openmetrics-text", "openmetrics"],
  // Prometheus 2.42.
  [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "openmetrics",
  ],
  ["Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", "openmetrics"],
  ['application/openmetrics-text; version="1.0.0"', "openmetrics"],
  ["application/openmetrics-text; version=2.0.0, text/plain; q=0.1", "text"],
  ["application/openmetrics-text; q=0.4, text/plain; q=0.5", "text"],
  ["application/openmetrics-text; q=0", "text"],
  ["application/openmetrics-text; q=2", "text"],
  ["application/openmetrics-text; q=0.5, */*; q=0.5", "openmetrics"],
] as const)("Accept: %s selects %s", (accept, format) => {
  expect(metricsFormat(accept)).toBe(format);
});
