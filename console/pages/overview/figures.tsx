/** The figures at the top of the overview, and the charts of the same numbers. */
import { useMemo } from "preact/hooks";
import type { ServiceSummary } from "#registry/api";
import type { Change } from "#timeline/api";
import type { TrafficView } from "#traffic/api";
import { changeMark } from "../../components/change-list.tsx";
import { chartTimes } from "../../components/chart-core.ts";
import { Chart } from "../../components/chart.tsx";
import { Card, Stat } from "../../components/layout.tsx";
import { Spark } from "../../components/spark.tsx";
import { linkTo } from "../../data/location.ts";
import { errorPercent } from "../../data/services.ts";
import { formatDuration } from "../../data/time.ts";
import { formatNumber, formatRate } from "../../text/mod.ts";
import { totalsOf } from "./core.ts";
import { overviewText } from "./text.ts";

interface FiguresProps {
  readonly services: readonly ServiceSummary[];
  readonly traffic: TrafficView | undefined;
}

/** Points of the sparks: the last ten minutes. */
const SPARK_POINTS = 60;

export function Figures({ services, traffic }: FiguresProps) {
  const text = overviewText();
  const totals = totalsOf(services);
  const { now, series } = traffic?.totals ?? {};
  const percent = now ? errorPercent(now) : null;
  return (
    <div class="stats">
      <Stat
        label={text.services}
        value={formatNumber(totals.services)}
        note={totals.troubled === 0 ? text.allWell : text.troubled(totals.troubled)}
        href={linkTo("/services")}
      />
      <Stat
        label={text.instances}
        value={formatNumber(totals.healthy)}
        unit={text.ofAll(totals.instances)}
        note={
          totals.healthy === totals.instances ? text.allWell : `−${formatNumber(totals.instances - totals.healthy)}`
        }
      />
      <Stat label={text.requests} value={now ? formatRate(now.rps) : "–"} unit={text.perSecond}>
        <Spark label={text.requestsChart} values={series?.rps.slice(-SPARK_POINTS) ?? []} />
      </Stat>
      <Stat
        label={text.errors}
        value={percent === null ? "–" : formatRate(percent)}
        {...(percent === null ? {} : { unit: "%" })}
        note={percent === null ? text.noTraffic : `${formatRate(now?.errors ?? 0)} ${text.perSecond}`}
      />
      <Stat
        label={text.latency}
        value={now && now.p99 !== null ? formatDuration(now.p99) : "–"}
        note={now && now.p99 !== null ? text.inFlight(now.inFlight) : text.noTraffic}
      />
    </div>
  );
}

interface TrafficChartsProps {
  readonly traffic: TrafficView;
  readonly changes: readonly Change[];
}

const GROUP = "overview";
const rateWord = (value: number) => formatNumber(value);

/** Three charts on one axis, with the changes as marks. */
export function TrafficCharts({ traffic, changes }: TrafficChartsProps) {
  const text = overviewText();
  const { totals, from, pointSeconds } = traffic;
  const { rps, errors, p50, p99 } = totals.series;
  const times = useMemo(() => chartTimes(from, rps.length, pointSeconds), [from, rps.length, pointSeconds]);
  const marks = changes.map(changeMark);
  const shared = { times, marks, group: GROUP };
  return (
    <Card title={text.gatewayTraffic}>
      <div class="grid charts">
        <Chart
          {...shared}
          label={text.requestsChart}
          formatValue={rateWord}
          series={[{ name: text.requestsChart, values: rps, tone: "accent", isFilled: true }]}
        />
        <Chart
          {...shared}
          label={text.errorsChart}
          formatValue={rateWord}
          series={[{ name: text.errorsChart, values: errors, tone: "bad", isFilled: true }]}
        />
        <Chart
          {...shared}
          label={text.latencyChart}
          formatValue={formatDuration}
          series={[
            { name: "p50", values: p50, tone: "moving" },
            { name: "p99", values: p99, tone: "accent" },
          ]}
        />
      </div>
    </Card>
  );
}
