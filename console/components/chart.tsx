/**
 * Lines over time: axes, the values at the pointer, and marks of events. By keyboard, arrow keys move through time, and the values are
 * read out; a hidden table has the same values. uPlot is loaded when the first chart is shown.
 */
import { useComputed, useSignal, useSignalEffect, type Signal } from "@preact/signals";
import { useEffect, useId, useMemo, useRef } from "preact/hooks";
import { formatClock, formatTime } from "../data/time.ts";
import { theme } from "../shell/theme.ts";
import { commonText } from "../text/common.ts";
import { locale } from "../text/mod.ts";
import {
  chartRowStep,
  groupChartMarks,
  lastKnownPoint,
  type ChartMark,
  type ChartSeries,
  type MarkGroup,
} from "./chart-core.ts";
import type { ChartPlot, PlotPlace } from "./chart-plot.ts";

interface ChartProps {
  readonly label: string;
  /** Milliseconds, ascending, as many as each series has values. */
  readonly times: readonly number[];
  readonly series: readonly ChartSeries[];
  readonly formatValue: (value: number) => string;
  readonly marks?: readonly ChartMark[];
  /** Pixels. */
  readonly height?: number;
  /** Charts of one group show the same moment under the pointer. */
  readonly group?: string;
}

const HEIGHT = 160;
/** Rows of the hidden table: one per minute of an hour. */
const ROWS_MAX = 60;
/** Pixels between two marks below which they become one. */
const MARK_GAP = 14;

export function Chart(props: ChartProps) {
  const { label, times, series, formatValue, marks = [], height = HEIGHT } = props;
  const at = useSignal<number | undefined>(undefined);
  const place = useSignal<PlotPlace | undefined>(undefined);
  const plot = useSignal<ChartPlot | undefined>(undefined);
  const element = usePlot(props, { plot, at, place });
  // Moving the pointer changes nothing in the table, which has many cells.
  const table = useMemo(() => <ChartTable {...props} />, [label, times, series, locale.value]);
  const last = lastKnownPoint(series);
  const shown = at.value === undefined || at.value >= times.length ? last : at.value;
  const move = (step: number) => {
    const next = Math.min(times.length - 1, Math.max(0, (at.value ?? last) + step));
    at.value = next;
    plot.value?.moveTo(next);
  };
  const words = series.map(({ name, values }) => `${name} ${wordOf(values[shown], formatValue)}`).join(", ");
  return (
    <figure class="chart">
      <figcaption class="chart-legend">
        {series.map(({ name, tone, values }) => (
          <span key={name} class={`chart-key ${tone}`}>
            {name} <b>{wordOf(values[shown], formatValue)}</b>
          </span>
        ))}
        <span class="chart-at">{at.value === undefined ? "" : formatClock(times[shown] ?? 0)}</span>
      </figcaption>
      <div
        class="chart-frame"
        style={{ height: `${height}px` }}
        role="slider"
        tabIndex={0}
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, times.length - 1)}
        aria-valuenow={Math.max(0, shown)}
        aria-valuetext={`${shown < 0 ? "" : formatClock(times[shown] ?? 0)}: ${words}`}
        onKeyDown={(event) => {
          const step = STEPS[event.key];
          if (step === undefined || event.isComposing) return;
          event.preventDefault();
          move(event.shiftKey ? step * 6 : step);
        }}
      >
        <div ref={element} class="chart-plot" />
      </div>
      {place.value && <ChartMarks marks={marks} times={times} place={place.value} height={height} />}
      {table}
    </figure>
  );
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageUp: -30,
  PageDown: 30,
  Home: -Infinity,
  End: Infinity,
};

function wordOf(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? "–" : format(value);
}

interface PlotSignals {
  readonly plot: Signal<ChartPlot | undefined>;
  readonly at: Signal<number | undefined>;
  readonly place: Signal<PlotPlace | undefined>;
}

/** Draws when the element is there, again when the theme or the language changes, and passes new data on. */
function usePlot(props: ChartProps, { plot, at, place }: PlotSignals) {
  const element = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const look = useComputed(() => `${theme.value} ${locale.value}`);
  const systemTheme = useSystemTheme();
  useSignalEffect(() => {
    void look.value;
    void systemTheme.value;
    let isStopped = false;
    const draw = async () => {
      const { drawChart } = await import("./chart-plot.ts");
      if (isStopped || !element.current) return;
      const { times, series, height = HEIGHT, group = "" } = latest.current;
      plot.value = drawChart({
        element: element.current,
        times,
        series,
        height,
        group,
        formatValue: (value) => latest.current.formatValue(value),
        formatAxisTime: axisTime,
        onMove: (index) => (at.value = index),
        onPlace: (next) => {
          const { left, width } = place.peek() ?? {};
          if (left !== next.left || width !== next.width) place.value = next;
        },
      });
    };
    void draw();
    void draw();
    return () => {
      isStopped = true;
      plot.peek()?.destroy();
      plot.value = undefined;
    };
  });
  useEffect(() => plot.value?.setData(props.times, props.series), [props.times, props.series, plot.value]);
  return element;
}

function useSystemTheme() {
  const isDark = useSignal(matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => (isDark.value = query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [isDark]);
  return isDark;
}

function axisTime(time: number): string {
  return new Intl.DateTimeFormat(locale.value, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(time);
}

interface ChartMarksProps {
  readonly marks: readonly ChartMark[];
  readonly times: readonly number[];
  readonly place: PlotPlace;
  readonly height: number;
}

/** Lines with a dot at the top; several that are near each other show their number. */
function ChartMarks({ marks, times, place, height }: ChartMarksProps) {
  const span = { from: times[0] ?? 0, to: times.at(-1) ?? 0 };
  const groups = groupChartMarks(marks, span, MARK_GAP / Math.max(1, place.width));
  return (
    <div class="chart-marks" style={{ left: `${place.left}px`, width: `${place.width}px`, height: `${height - 26}px` }}>
      {groups.map((group) => (
        <span
          key={group.at}
          class={`chart-mark ${group.tone}`}
          style={{ left: `${group.place * 100}%` }}
          title={markTitle(group)}
        />
      ))}
    </div>
  );
}

/** Lines of a title that fit a screen. */
const TITLE_LINES_MAX = 12;

function markTitle({ marks }: MarkGroup): string {
  const lines = marks.slice(-TITLE_LINES_MAX).map(({ at, label }) => `${formatClock(at)}  ${label}`);
  return [...(marks.length > TITLE_LINES_MAX ? ["…"] : []), ...lines].join("\n");
}

function ChartTable({ label, times, series, formatValue }: ChartProps) {
  const id = useId();
  const step = chartRowStep(times.length, ROWS_MAX);
  const rows = times.map((time, index) => ({ time, index })).filter(({ index }) => index % step === 0);
  return (
    <div class="visually-hidden">
      <table aria-labelledby={id}>
        <caption id={id}>{label}</caption>
        <thead>
          <tr>
            <th scope="col">{commonText().time}</th>
            {series.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ time, index }) => (
            <tr key={time}>
              <th scope="row">{formatTime(time)}</th>
              {series.map(({ name, values }) => (
                <td key={name}>{wordOf(values[index], formatValue)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
