/** The drawing of a chart by uPlot, in a file of its own, which is loaded when the first chart is shown. */
import UPlot, { type AlignedData, type Options, type Series } from "uplot";
import type { ChartSeries } from "./chart-core.ts";
import "./chart-plot.css";

/** The place of the drawing within its element, in CSS pixels. */
export interface PlotPlace {
  readonly left: number;
  readonly width: number;
}

export interface PlotOptions {
  readonly element: HTMLElement;
  readonly times: readonly number[];
  readonly series: readonly ChartSeries[];
  readonly height: number;
  readonly formatValue: (value: number) => string;
  readonly formatAxisTime: (time: number) => string;
  /** Charts of one group show the same moment. */
  readonly group: string;
  readonly onMove: (index: number | undefined) => void;
  readonly onPlace: (place: PlotPlace) => void;
}

export interface ChartPlot {
  setData(times: readonly number[], series: readonly ChartSeries[]): void;
  setWidth(width: number): void;
  moveTo(index: number): void;
  destroy(): void;
}

/** Pixels of the axis of values: room for `1,200 ms`. */
const AXIS_WIDTH = 52;
const MS = 1000;

export function drawChart(options: PlotOptions): ChartPlot {
  const { element, times, series } = options;
  const colors = readColors(element);
  const plot = new UPlot(plotOptions(options, colors), dataOf(times, series), element);
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry?.contentRect.width ?? 0);
    if (width > 0 && width !== plot.width) plot.setSize({ width, height: options.height });
  });
  observer.observe(element);
  return {
    setData: (nextTimes, nextSeries) => plot.setData(dataOf(nextTimes, nextSeries)),
    setWidth: (width) => plot.setSize({ width, height: options.height }),
    moveTo: (index) => {
      const time = plot.data[0]?.[index];
      if (time !== undefined) plot.setCursor({ left: plot.valToPos(time, "x"), top: 10 });
    },
    destroy: () => {
      observer.disconnect();
      plot.destroy();
    },
  };
}

function dataOf(times: readonly number[], series: readonly ChartSeries[]): AlignedData {
  return [times.map((time) => time / MS), ...series.map(({ values }) => [...values])];
}

type ChartColors = (name: string) => string;

/** A canvas takes no custom properties, so a hidden element resolves them for the theme that is shown. */
function readColors(element: HTMLElement): ChartColors {
  const probe = document.createElement("span");
  element.append(probe);
  const colors = new Map<string, string>();
  for (const name of ["accent", "good-fill", "warn-fill", "bad-fill", "moving-fill", "line", "text-faint"]) {
    probe.style.color = `var(--${name})`;
    colors.set(name, getComputedStyle(probe).color);
  }
  probe.remove();
  return (name) => colors.get(name) ?? "gray";
}

/** The color, nearly transparent: `rgb(1, 2, 3)` becomes `rgba(1, 2, 3, 0.14)`. */
function faded(color: string): string {
  return color.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)");
}

function plotOptions(options: PlotOptions, colors: ChartColors): Options {
  const { element, series, height, formatValue, formatAxisTime, group, onMove, onPlace } = options;
  const style = getComputedStyle(element);
  const axis = {
    stroke: colors("text-faint"),
    font: `11px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colors("line"), width: 1 },
  };
  return {
    width: Math.max(120, Math.floor(element.clientWidth)),
    height,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: group, setSeries: false } },
    scales: { x: { time: true }, y: { range: (_plot, _least, most) => [0, Math.max(most * 1.08, 1e-3)] } },
    axes: [
      {
        ...axis,
        size: 26,
        grid: { show: false },
        space: 72,
        values: (_plot, values) => values.map((time) => formatAxisTime(time * MS)),
      },
      {
        ...axis,
        size: AXIS_WIDTH,
        space: 32,
        values: (_plot, values) => values.map((value) => (value === 0 ? "0" : formatValue(value))),
      },
    ],
    series: [{}, ...series.map((one) => seriesOptions(one, colors))],
    hooks: {
      setCursor: [(plot) => onMove(plot.cursor.idx ?? undefined)],
      drawClear: [
        (plot) => onPlace({ left: plot.bbox.left / devicePixelRatio, width: plot.bbox.width / devicePixelRatio }),
      ],
    },
  };
}

function seriesOptions({ name, tone, isFilled }: ChartSeries, colors: ChartColors): Series {
  const color = colors(tone === "accent" ? "accent" : `${tone}-fill`);
  return {
    label: name,
    stroke: color,
    width: 1.5,
    points: { show: false },
    spanGaps: false,
    ...(isFilled === true ? { fill: faded(color) } : {}),
  };
}
