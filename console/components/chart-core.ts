/** The computations of charts, without the browser: summary rows, and marks that share one place. */

export interface ChartSeries {
  readonly name: string;
  /** One value per time; null: not known. */
  readonly values: readonly (number | null)[];
  readonly tone: "accent" | "good" | "warn" | "bad" | "moving";
  readonly isFilled?: boolean;
}

/** An event on the time axis. */
export interface ChartMark {
  readonly at: number;
  readonly label: string;
  readonly tone: "accent" | "warn" | "bad" | "idle";
}

export interface MarkGroup {
  readonly at: number;
  /** Share of the width, 0 to 1. */
  readonly place: number;
  readonly marks: readonly ChartMark[];
  readonly tone: ChartMark["tone"];
}

const SEVERITY: readonly ChartMark["tone"][] = ["idle", "accent", "warn", "bad"];

/** Marks within the span, with neighbors joined that are closer than the least gap (a share of the width). */
export function groupChartMarks(
  marks: readonly ChartMark[],
  { from, to }: { readonly from: number; readonly to: number },
  leastGap: number,
): readonly MarkGroup[] {
  const span = Math.max(1, to - from);
  const inside = marks.filter(({ at }) => at >= from && at <= to).sort((one, other) => one.at - other.at);
  const groups: { at: number; place: number; marks: ChartMark[] }[] = [];
  for (const mark of inside) {
    const place = (mark.at - from) / span;
    const last = groups.at(-1);
    if (last && place - last.place < leastGap) last.marks.push(mark);
    else groups.push({ at: mark.at, place, marks: [mark] });
  }
  return groups.map((group) => ({ ...group, tone: worstTone(group.marks) }));
}

function worstTone(marks: readonly ChartMark[]): ChartMark["tone"] {
  const rank = Math.max(...marks.map(({ tone }) => SEVERITY.indexOf(tone)));
  return SEVERITY[rank] ?? "idle";
}

/** Every how many points a row of the hidden table is taken, so that it has at most `rows` of them. */
export function chartRowStep(points: number, rows: number): number {
  return Math.max(1, Math.ceil(points / rows));
}

/** The last time at which any series has a value; -1: none. */
export function lastKnownPoint(series: readonly ChartSeries[]): number {
  return Math.max(-1, ...series.map(({ values }) => values.findLastIndex((value) => value !== null)));
}

/** Times in milliseconds of points of equal length. */
export function chartTimes(from: string | number, points: number, pointSeconds: number): readonly number[] {
  const start = new Date(from).getTime();
  return Array.from({ length: points }, (_, index) => start + index * pointSeconds * 1000);
}
