/** `posthouse top`: services and routes, live on a terminal; elsewhere one snapshot. */
import type { Command } from "commander";
import { AppError, messageOf } from "#base";
import type { ControlCalls } from "#client/light";
import { controlAction } from "../control-verb.ts";
import { controlSettings } from "../control-client.ts";
import { withNamespace } from "../namespace.ts";
import { secondsOption, withExamples } from "../options.ts";
import { runScreen } from "../screen.ts";
import { formatDocument, formatRows, paintFor, type Column } from "../table.ts";
import {
  shownRoutes,
  shownServices,
  topPicture,
  type TopData,
  type TopRoute,
  type TopService,
  type TopState,
} from "../top-view.ts";
import type { VerbContext } from "../verb.ts";

const SERVICE_COLUMNS: readonly Column<TopService>[] = [
  ["SERVICE", ({ service }) => service],
  ["INSTANCES", ({ instances }) => instances],
  ["PASSING", ({ passing }) => passing],
  ["WARNING", ({ warning }) => warning],
  ["CRITICAL", ({ critical }) => critical],
  ["DRAINING", ({ draining }) => draining],
];
const ROUTE_COLUMNS: readonly Column<TopRoute>[] = [
  ["ROUTE", ({ route }) => route],
  ["RPS", ({ rps }) => rps],
  ["ERRORS/S", ({ errors }) => errors],
  ["P50 MS", ({ p50 }) => p50 ?? undefined],
  ["P99 MS", ({ p99 }) => p99 ?? undefined],
  ["IN FLIGHT", ({ inFlight }) => inFlight],
];

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services and routes")
    .option("--interval <seconds>", "time between two refreshes", secondsOption(3600), 2)
    .option("-o, --output <format>", "json: one snapshot as a document");
  withExamples(command, ["posthouse top", "posthouse top -o json"]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const { values } = await controlSettings(options, terminal);
    const server = values.controlUrls.join(",");
    const read = () => readTop(client, String(options["namespace"]), server);
    if (options["output"] === "json") return terminal.out(await formatDocument("json", await read()));
    if (!terminal.isInteractive || !terminal.isInputInteractive) {
      const data = await read();
      terminal.out(await formatRows("text", SERVICE_COLUMNS, shownServices(data, "")));
      if (data.routes) terminal.out(`\n${await formatRows("text", ROUTE_COLUMNS, shownRoutes(data, ""))}`);
      return;
    }
    const paint = paintFor(terminal);
    await runScreen<TopData, TopState>({
      read,
      intervalMs: Math.max(0.25, options["interval"] as number) * 1000,
      begin: { filter: "", isTyping: false, selected: 0, columns: 80, lines: 24 },
      draw: (data, state) => topPicture(data, state, paint),
      onKey: nextState,
      onProblem: (data, error) => ({ ...data, problem: messageOf(error) }),
    });
  });
}

/** undefined: the screen ends. */
function nextState(key: string, state: TopState, data: TopData): TopState | undefined {
  if (key === "\u0003") return undefined;
  if (state.isTyping) {
    if (key === "\r" || key === "\n") return { ...state, isTyping: false };
    if (key === "\u001B") return { ...state, isTyping: false, filter: "", selected: 0 };
    if (key === "\u007F" || key === "\b") return { ...state, filter: state.filter.slice(0, -1), selected: 0 };
    return /^[\w.-]$/.test(key) ? { ...state, filter: state.filter + key, selected: 0 } : state;
  }
  const rows = shownServices(data, state.filter).length + shownRoutes(data, state.filter).length;
  const move = (by: number) => ({ ...state, selected: Math.max(0, Math.min(rows - 1, state.selected + by)) });
  if (key === "q") return undefined;
  if (key === "/") return { ...state, isTyping: true };
  if (key === "\u001B") return { ...state, filter: "", selected: 0 };
  if (key === "\u001B[A" || key === "k") return move(-1);
  if (key === "\u001B[B" || key === "j") return move(1);
  if (key === "\u001B[5~") return move(-10);
  if (key === "\u001B[6~") return move(10);
  return state;
}

interface Rate {
  readonly rps: number;
  readonly errors: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly inFlight: number;
}
interface Traffic {
  readonly routes: readonly {
    readonly route: string;
    readonly now: Rate;
    readonly series: { readonly rps: readonly number[] };
  }[];
}
/** Minutes of the chart. */
const TRAFFIC_MINUTES = 5;

async function readTop(client: ControlCalls, namespace: string, server: string): Promise<TopData> {
  const [{ services }, { members }, routes] = await Promise.all([
    client.registry.services(namespace),
    client.registry.members(),
    readRoutes(client, namespace),
  ]);
  return {
    at: new Date().toISOString().slice(0, 19).replace("T", " "),
    server,
    members: members.length,
    services,
    routes,
  };
}

/** undefined: this server does not measure traffic. */
async function readRoutes(client: ControlCalls, namespace: string): Promise<TopRoute[] | undefined> {
  const path = `/v1/traffic?namespace=${encodeURIComponent(namespace)}&minutes=${TRAFFIC_MINUTES}`;
  try {
    const { body } = await client.system.answer<Traffic>("GET", path);
    return body.routes.map(({ route, now, series }) => ({
      route,
      rps: now.rps,
      errors: now.errors,
      p50: now.p50,
      p99: now.p99,
      inFlight: now.inFlight,
      series: series.rps,
    }));
  } catch (error) {
    if (error instanceof AppError && (error.code === "HTTP_NOT_FOUND" || error.status === 403)) return undefined;
    throw error;
  }
}
