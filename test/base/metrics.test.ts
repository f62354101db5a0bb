/** Several processes that are exposed as one. */
import { expect, test } from "vitest";
import { createMetrics, lastingValues, sumValues } from "#base/prometheus";

function worker(requests: number, revision: number) {
  const metrics = createMetrics({ process: true });
  metrics
    .counter({ name: "requests_total", help: "R.", labelNames: ["route"] })
    .labels("a")
    .inc(requests);
  metrics.gauge({ name: "in_flight", help: "F." }).labels().set(requests);
  metrics.gauge({ name: "revision", help: "V.", across: "min" }).labels().set(revision);
  metrics
    .histogram({ name: "seconds", help: "S.", buckets: [1, 2] })
    .labels()
    .observe(requests);
  return metrics;
}

test("counts of processes are summed, a gauge keeps its own rule, and each name appears once", async () => {
  const main = createMetrics({ process: true });
  const workers = [worker(1, 7), worker(2, 5)];
  main.join(() => Promise.all(workers.map((metrics) => metrics.values())));
  const { text } = await main.expose();
  const lines = text.split("\n");
  expect(lines).toContain('requests_total{route="a"} 3');
  expect(lines).toContain("in_flight 3");
  expect(lines).toContain("revision 5");
  expect(lines).toContain('seconds_bucket{le="1"} 1');
  expect(lines).toContain('seconds_bucket{le="2"} 2');
  expect(lines).toContain("seconds_count 2");
  const start = lines.filter((line) => line.startsWith("process_start_time_seconds "));
  expect(start).toHaveLength(1);
  expect((await createMetrics({ process: true }).expose()).text).toContain(start[0]);
});

test("the counts of an ended process stay in the sums, and its gauges do not", async () => {
  const main = createMetrics();
  const ended = await sumValues([lastingValues(await worker(4, 1).values())]);
  const alive = worker(1, 9);
  main.join(async () => [ended, await alive.values()]);
  const lines = (await main.expose()).text.split("\n");
  expect(lines).toContain('requests_total{route="a"} 5');
  expect(lines).toContain("seconds_count 2");
  expect(lines).toContain("in_flight 1");
  expect(lines).toContain("revision 9");
});

test("a collected gauge no longer reports a label that is gone, and a gauge that is set keeps its values", async () => {
  const metrics = createMetrics();
  let clusters = ["a", "b"];
  metrics.gauge({
    name: "endpoints",
    help: "E.",
    labelNames: ["cluster"],
    collect: (family) => {
      for (const cluster of clusters) family.labels(cluster).set(1);
    },
  });
  metrics
    .gauge({ name: "held", help: "H.", labelNames: ["name"] })
    .labels("x")
    .set(3);
  const lines = async () => (await metrics.expose()).text.split("\n").filter((line) => /^[eh]/.test(line));
  expect(await lines()).toEqual(['endpoints{cluster="a"} 1', 'endpoints{cluster="b"} 1', 'held{name="x"} 3']);
  clusters = ["b"];
  expect(await lines()).toEqual(['endpoints{cluster="b"} 1', 'held{name="x"} 3']);
  clusters = [];
  expect(await lines()).toEqual(['held{name="x"} 3']);
});
