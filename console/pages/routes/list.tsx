/** The list of routes, in the order of their comparison, with what they carry now. */
import { Pencil, Plus, TriangleAlert, Route } from "lucide";
import { useSignal } from "@preact/signals";
import type { PlacedProblem, RouteList, RouteView } from "#gateway/api";
import { Button } from "../../components/button.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { SearchField, Segmented } from "../../components/field.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable } from "../../components/table.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace, useQuery } from "../../data/location.ts";
import { commonText } from "../../text/common.ts";
import { AddRoute } from "./add-form.tsx";
import { routeColumns, type RouteRow } from "./columns.tsx";
import { searchText } from "./core/summary.ts";
import { useRouteList, useRouteLoads, useTargetStates } from "./data.ts";
import { RoutesFrame } from "./frame.tsx";
import { isTroubled } from "./route-cells.tsx";
import { routesText } from "./text.ts";

export function RouteListView() {
  const text = routesText();
  const [namespace] = useNamespace();
  const routes = useRouteList();
  const isAdding = useSignal(false);
  return (
    <RoutesFrame
      part="list"
      actions={
        <>
          <CopyAs
            cli={cliOf("route", "ls", ...namespaceWords(namespace))}
            call={{ path: `/v1/gateway/routes?namespace=${encodeURIComponent(namespace)}` }}
          />
          <Button icon={Pencil} href={linkTo("/routes/edit")}>
            {text.edit}
          </Button>
          <Button kind="primary" icon={Plus} needs="config:draft" onClick={() => (isAdding.value = true)}>
            {text.addRoute}
          </Button>
        </>
      }
    >
      <Loaded of={routes}>
        {(list) => (
          <>
            <RouteProblems title={text.invalid} problems={list.problems} isBad />
            <RouteProblems title={text.warnings} problems={list.warnings} />
            <RouteTable list={list} />
          </>
        )}
      </Loaded>
      {isAdding.value && <AddRoute providers={routes.data?.providers ?? []} onClose={() => (isAdding.value = false)} />}
    </RoutesFrame>
  );
}

interface RouteProblemsProps {
  readonly title: string;
  readonly problems: readonly PlacedProblem[];
  readonly isBad?: boolean;
}

/** Problems of a config with their lines, above the list. */
export function RouteProblems({ title, problems, isBad = false }: RouteProblemsProps) {
  if (problems.length === 0) return null;
  return (
    <section class={`route-problems ${isBad ? "bad" : ""}`}>
      <Icon of={TriangleAlert} />
      <div>
        <h2>{title}</h2>
        <ul>
          {problems.map(({ pointer, message, line }) => (
            <li key={`${pointer} ${message}`}>
              <span class="mono muted">{line === undefined ? pointer : `gateway.yaml:${line}`}</span> {message}
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}

type Shown = "all" | "trouble" | "hinted";

function RouteTable({ list }: { readonly list: RouteList }) {
  const text = routesText();
  const [filter, setFilter] = useQuery("q");
  const [shown, setShown] = useQuery("show", "all");
  const loads = useRouteLoads();
  const stateOf = useTargetStates();
  const wanted = filter.toLowerCase().split(/\s+/);
  const isShown = (view: RouteView) => {
    if (shown === "hinted" && !view.hinted) return false;
    if (shown === "trouble" && !isTroubled({ view, stateOf })) return false;
    const words = searchText(view);
    return wanted.every((word) => words.includes(word));
  };
  const rows = list.routes
    .map((view, index): RouteRow => ({ view, order: index + 1, load: loads.of(view.name) }))
    .filter(({ view }) => isShown(view));
  if (list.routes.length === 0 && list.problems.length === 0) return <NoRoutes />;
  return (
    <Card
      isFlush
      title={
        rows.length === list.routes.length
          ? text.count(rows.length)
          : commonText().rows(rows.length, list.routes.length)
      }
      actions={
        <>
          <SearchField value={filter} onInput={setFilter} />
          <Segmented<Shown>
            label={text.show}
            value={shown as Shown}
            options={[
              ["all", text.showAll],
              ["trouble", text.showTrouble],
              ["hinted", text.showHinted],
            ]}
            onChange={setShown}
          />
        </>
      }
    >
      <DataTable
        label={text.title}
        rows={rows}
        keyOf={({ view }) => view.name}
        hrefOf={({ view }) => linkTo(`/routes/at/${encodeURIComponent(view.name)}`)}
        initialSort="order"
        columns={routeColumns(stateOf)}
        empty={<p class="route-note">{commonText().nothingMatches}</p>}
      />
      <Unmatched rps={loads.of("none")?.now.rps ?? 0} />
    </Card>
  );
}

/** Requests that no route matched. */
function Unmatched({ rps }: { readonly rps: number }) {
  const text = routesText();
  if (rps === 0) return null;
  return (
    <p class="route-note">
      {text.unmatched}: {text.unmatchedValue(rps.toFixed(1))}
    </p>
  );
}

function NoRoutes() {
  const text = routesText();
  const [namespace] = useNamespace();
  const command = cliOf(
    "route",
    "add",
    "orders",
    "--path-prefix",
    "/orders",
    "--service",
    "orders",
    ...namespaceWords(namespace),
  );
  return (
    <Card isFlush>
      <EmptyState icon={Route} title={text.emptyTitle} command={command}>
        {text.emptyText}
      </EmptyState>
    </Card>
  );
}
