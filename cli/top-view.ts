/** The picture of `posthouse top`: services and routes as lines of a terminal of some size. Pure. */
import type { Paint } from "./table.ts";
import { widthOf } from "./table.ts";

export interface TopService {
  readonly service: string;
  readonly instances: number;
  readonly passing: number;
  readonly warning: number;
  readonly critical: number;
  readonly draining: number;
}
export interface TopRoute {
  readonly route: string;
  readonly rps: number;
  readonly errors: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly inFlight: number;
  /** Requests per second of the last minutes, oldest first. */
  readonly series: readonly number[];
}
export interface TopData {
  readonly at: string;
  readonly server: string;
  readonly members: number;
  readonly services: readonly TopService[];
  /** Absent: the server does not measure traffic. */
  readonly routes?: readonly TopRoute[] | undefined;
  /** Why the last refresh failed; the data is then older. */
  readonly problem?: string | undefined;
}
export interface TopState {
  readonly filter: string;
  /** Whether the filter is being typed. */
  readonly isTyping: boolean;
  /** Index of the selected row over both tables. */
  readonly selected: number;
  readonly columns: number;
  readonly lines: number;
}

const BLOCKS = "▁▂▃▄▅▆▇█";
/** Points of a row's chart. */
const CHART_POINTS = 20;

/** The worst service first, then by name. */
export function shownServices({ services }: TopData, filter: string): TopService[] {
  return services
    .filter(({ service }) => service.includes(filter))
    .toSorted((a, b) => b.critical - a.critical || b.warning - a.warning || (a.service < b.service ? -1 : 1));
}
export function shownRoutes({ routes = [] }: TopData, filter: string): TopRoute[] {
  return routes.filter(({ route }) => route.includes(filter)).toSorted((a, b) => b.rps - a.rps);
}

export function topPicture(data: TopData, state: TopState, paint: Paint): string[] {
  const services = shownServices(data, state.filter);
  const routes = shownRoutes(data, state.filter);
  const fixed = 5 + (data.routes === undefined ? 0 : 2);
  const room = Math.max(2, state.lines - fixed);
  const forRoutes = data.routes === undefined ? 0 : Math.min(routes.length, Math.max(1, Math.floor(room / 2)));
  const forServices = Math.max(1, room - forRoutes);
  const { columns } = state;
  const look = (index: number): RowLook => ({ isSelected: index === state.selected, columns, paint });
  const head = (name: string, headers: readonly string[], widths: readonly number[]) =>
    paint("bold", `${cells([name], [nameWidth(columns)])} ${cells(headers, widths)}`.trimEnd());
  const lines = [
    headOf(data, paint),
    barOf(services, paint),
    "",
    head("SERVICE", ["", "PASSING", "WARNING", "CRITICAL", "DRAINING"], SERVICE_WIDTHS),
    ...windowOf(
      services.map((one, index) => serviceLine(one, look(index))),
      forServices,
      state.selected,
    ),
  ];
  if (data.routes !== undefined) {
    lines.push("", head("ROUTE", ["RPS", "ERRORS/S", "P50 MS", "P99 MS", "IN FLIGHT", "LAST MINUTES"], ROUTE_WIDTHS));
    const rows = routes.map((one, index) => routeLine(one, look(services.length + index)));
    lines.push(...windowOf(rows, forRoutes, state.selected - services.length));
  }
  while (lines.length < state.lines - 1) lines.push("");
  const typed = state.isTyping
    ? paint("cyan", `/${state.filter}█`)
    : state.filter === ""
      ? ""
      : paint("cyan", `/${state.filter}`);
  lines.splice(state.lines - 1);
  lines.push(`${paint("dim", "q quit  ↑↓ select  / filter  Esc clear")}  ${typed}`.trimEnd());
  return lines;
}

/** Widths of the columns after the name. A negative one is aligned to the right. */
const SERVICE_WIDTHS = [18, -8, -8, -9, -9];
const ROUTE_WIDTHS = [-9, -9, -8, -8, -10, CHART_POINTS];
/** Columns of the name, which takes what the window has left. */
const NAME_WIDTH = { min: 10, max: 40 } as const;

function nameWidth(columns: number): number {
  const others = Math.max(
    ...[SERVICE_WIDTHS, ROUTE_WIDTHS].map((widths) => widths.reduce((sum, one) => sum + Math.abs(one) + 1, 0)),
  );
  return Math.max(NAME_WIDTH.min, Math.min(NAME_WIDTH.max, columns - others));
}

function cells(texts: readonly string[], widths: readonly number[]): string {
  return texts
    .map((text, at) => {
      const width = widths[at] ?? 0;
      const shown = cut(text, Math.abs(width));
      const padding = " ".repeat(Math.max(0, Math.abs(width) - widthOf(shown)));
      return width < 0 ? padding + shown : shown + padding;
    })
    .join(" ");
}

function cut(text: string, width: number): string {
  return widthOf(text) <= width
    ? text
    : `${Array.from(text)
        .slice(0, width - 1)
        .join("")}…`;
}

function headOf({ at, server, members, problem }: TopData, paint: Paint): string {
  const head = `${paint("bold", "posthouse top")}  ${server}  ${members} member${members === 1 ? "" : "s"}  ${paint("dim", at)}`;
  return problem === undefined ? head : `${head}  ${paint("red", `not refreshed: ${problem}`)}`;
}

function barOf(services: readonly TopService[], paint: Paint): string {
  const sum = (count: (one: TopService) => number) => services.reduce((total, one) => total + count(one), 0);
  const critical = sum((one) => one.critical);
  const warning = sum((one) => one.warning);
  return [
    `${services.length} services`,
    `${sum((one) => one.instances)} instances`,
    paint("green", `${sum((one) => one.passing)} passing`),
    ...(warning === 0 ? [] : [paint("yellow", `${warning} warning`)]),
    ...(critical === 0 ? [] : [paint("red", `${critical} critical`)]),
  ].join("  ");
}

interface RowLook {
  readonly isSelected: boolean;
  readonly columns: number;
  readonly paint: Paint;
}

function nameCell(name: string, { isSelected, columns, paint }: RowLook): string {
  const text = cells([isSelected ? `▶${name}` : name], [nameWidth(columns)]);
  return isSelected ? paint("cyan", text) : text;
}

function serviceLine(one: TopService, look: RowLook): string {
  const style = one.critical > 0 ? "red" : one.warning > 0 ? "yellow" : one.instances === 0 ? "dim" : "green";
  const filled = one.instances === 0 ? 0 : Math.round((one.passing / one.instances) * 16);
  const bar = `[${"█".repeat(filled)}${"·".repeat(16 - filled)}]`;
  const counts = [`${one.passing}/${one.instances}`, String(one.warning), String(one.critical), String(one.draining)];
  return `${nameCell(one.service, look)} ${look.paint(style, cells([bar, ...counts], SERVICE_WIDTHS))}`;
}

function routeLine(one: TopRoute, look: RowLook): string {
  const number = (value: number | null, digits = 1) => (value === null ? "-" : value.toFixed(digits));
  const series = one.series.slice(-CHART_POINTS);
  const most = Math.max(...series, 0);
  const blockOf = (value: number) => (most === 0 ? BLOCKS[0] : BLOCKS[Math.min(7, Math.floor((value / most) * 7.99))]);
  const numbers = [number(one.rps), number(one.errors), number(one.p50), number(one.p99), String(one.inFlight)];
  const rest = cells([...numbers, series.map(blockOf).join("")], ROUTE_WIDTHS).trimEnd();
  return `${nameCell(one.route, look)} ${one.errors > 0 ? look.paint("red", rest) : rest}`;
}

/** The part of the rows that has the selected one. */
function windowOf(rows: readonly string[], count: number, selected: number): readonly string[] {
  const from = Math.max(0, Math.min(selected - count + 1, rows.length - count));
  return rows.slice(from, from + count);
}
