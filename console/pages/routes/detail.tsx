/** One route: what it matches, what happens to its requests, its traffic, and its lines in gateway.yaml. */
import { Box, FlaskConical, Pencil, Route } from "lucide";
import { useMemo } from "preact/hooks";
import type { EffectiveConfig } from "#config-server/api";
import type { RouteList, RouteView } from "#gateway/api";
import { Button } from "../../components/button.tsx";
import { chartTimes } from "../../components/chart-core.ts";
import { Chart } from "../../components/chart.tsx";
import { CodeEditor } from "../../components/code-editor.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { Card, Facts, PageHeader } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatDuration } from "../../data/time.ts";
import { formatNumber } from "../../text/mod.ts";
import { RouteChain } from "./chain.tsx";
import { conditionsOf, configOf, linesOf, pathOfRoute } from "./core/summary.ts";
import { GATEWAY_KEY, gatewayPath, gatewaySet, useRouteList, useRouteLoads, useTargetStates } from "./data.ts";
import { HintBadge, RouteState } from "./route-cells.tsx";
import { routesText } from "./text.ts";

export default function RouteDetailView({ name }: { readonly name: string }) {
  const text = routesText();
  const routes = useRouteList();
  const view = routes.data?.routes.find((one) => one.name === name);
  return (
    <>
      <DetailHeader name={name} view={view} />
      <Loaded of={routes} rows={6}>
        {(list) =>
          view ? (
            <RouteParts view={view} list={list} />
          ) : (
            <Card isFlush>
              <EmptyState icon={Route} title={text.notFound}>
                {text.notFoundText(name)}
              </EmptyState>
            </Card>
          )
        }
      </Loaded>
    </>
  );
}

function DetailHeader({ name, view }: { readonly name: string; readonly view: RouteView | undefined }) {
  const text = routesText();
  const [namespace] = useNamespace();
  const stateOf = useTargetStates();
  const service = view?.targets.find((target) => target.namespace === namespace)?.service;
  return (
    <PageHeader
      title={name}
      crumbs={[[text.title, linkTo("/routes")]]}
      badge={
        view && (
          <>
            <RouteState view={view} stateOf={stateOf} />
            {view.hinted && <HintBadge />}
          </>
        )
      }
      subtitle={view?.shadowedBy === undefined ? undefined : text.shadowedBy(view.shadowedBy)}
    >
      <CopyAs
        cli={cliOf("route", "ls", ...namespaceWords(namespace))}
        call={{ path: `/v1/gateway/routes?namespace=${encodeURIComponent(namespace)}` }}
      />
      {service !== undefined && (
        <Button icon={Box} href={linkTo(`/services/${encodeURIComponent(service)}`)}>
          {text.openService}
        </Button>
      )}
      {view && (
        <Button icon={FlaskConical} href={linkTo("/routes/test", { url: exampleUrl(view), ...exampleMethod(view) })}>
          {text.testRoute}
        </Button>
      )}
      <Button kind="primary" icon={Pencil} href={linkTo("/routes/edit")}>
        {text.editRoute}
      </Button>
    </PageHeader>
  );
}

/** A URL that the route may match, to begin a test with. */
function exampleUrl(view: RouteView): string {
  const config = configOf(view);
  const { kind, value } = pathOfRoute(config);
  const host = config.match.hosts?.[0]?.replace(/^\*/, "www") ?? "localhost";
  const path =
    kind === "template" ? value.replaceAll(/\{[^}]*\}/g, "1") : kind === "regex" ? "/" : value.replaceAll("*", "Name");
  return `${config.match.scheme ?? "http"}://${host}${path}`;
}

function exampleMethod(view: RouteView): Readonly<Record<string, string>> {
  const [method = "GET"] = configOf(view).match.methods ?? [];
  return method === "GET" ? {} : { method };
}

function RouteParts({ view, list }: { readonly view: RouteView; readonly list: RouteList }) {
  const text = routesText();
  return (
    <>
      <div class="grid">
        <MatchCard view={view} list={list} />
        <TrafficCard name={view.name} />
      </div>
      <Card title={text.chain} actions={<span class="muted">{text.chainText}</span>}>
        <RouteChain view={view} />
      </Card>
      <YamlCard view={view} list={list} />
    </>
  );
}

function MatchCard({ view, list }: { readonly view: RouteView; readonly list: RouteList }) {
  const text = routesText();
  const config = configOf(view);
  const { hosts, methods } = config.match;
  const path = pathOfRoute(config);
  const order = list.routes.findIndex(({ name }) => name === view.name) + 1;
  return (
    <Card title={text.matchTitle}>
      <Facts
        of={[
          [
            text.hosts,
            hosts ? <span class="mono">{hosts.join(", ")}</span> : <span class="muted">{text.anyHost}</span>,
          ],
          [
            text.path,
            <>
              <span class="muted">{text[`path_${path.kind}`]}</span>{" "}
              {path.kind !== "any" && <span class="mono">{path.value}</span>}
            </>,
          ],
          [
            text.methods,
            methods ? <span class="mono">{methods.join(", ")}</span> : <span class="muted">{text.commonMethods}</span>,
          ],
          ...conditionsOf(config).map(([kind, words]) => [text[kind], <span class="mono">{words}</span>] as const),
          ...(config.listeners ? [[text.listeners, config.listeners.join(", ")] as const] : []),
          [text.priority, String(config.priority ?? 0)],
          [text.orderTitle, text.place(order, list.routes.length)],
        ]}
      />
    </Card>
  );
}

function TrafficCard({ name }: { readonly name: string }) {
  const text = routesText();
  const { of, view } = useRouteLoads(name);
  const load = of(name);
  const times = useMemo(
    () => (view && load ? chartTimes(view.from, load.series.rps.length, view.pointSeconds) : []),
    [view, load],
  );
  return (
    <Card title={text.traffic}>
      {view && load && load.series.rps.some((rps) => rps > 0) ? (
        <>
          <Chart
            label={text.requests}
            times={times}
            group="route"
            height={110}
            formatValue={formatNumber}
            series={[
              { name: text.requests, values: load.series.rps, tone: "accent", isFilled: true },
              { name: text.errorsPerSecond, values: load.series.errors, tone: "bad" },
            ]}
          />
          <Chart
            label={text.p99}
            times={times}
            group="route"
            height={110}
            formatValue={formatDuration}
            series={[
              { name: text.p99, values: load.series.p99, tone: "accent" },
              { name: text.median, values: load.series.p50, tone: "moving" },
            ]}
          />
        </>
      ) : (
        <p class="muted">{text.noTraffic}</p>
      )}
    </Card>
  );
}

/** The lines belong to the text of one release, so a text of another one shows none. */
function YamlCard({ view, list }: { readonly view: RouteView; readonly list: RouteList }) {
  const text = routesText();
  const [namespace] = useNamespace();
  const set = gatewaySet(namespace);
  const config = useResource<EffectiveConfig>(view.hinted ? undefined : gatewayPath(namespace), [`config:${set}`]);
  if (view.hinted) {
    return (
      <Card title={text.hinted}>
        <p class="muted">
          {text.hintedBy} {text.hintPolicy}
        </p>
      </Card>
    );
  }
  const { line = 0, lastLine = 0 } = view;
  return (
    <Card
      title={text.yaml}
      actions={
        <>
          <span class="muted">{text.yamlPlace(line, lastLine)}</span>
          <Button isSmall kind="quiet" href={linkTo("/routes/releases")}>
            {text.history}
          </Button>
        </>
      }
    >
      <Loaded of={config} rows={3}>
        {({ releaseKey, items }) => {
          const value = releaseKey === list.releaseKey ? linesOf(items[GATEWAY_KEY]?.value ?? "", view) : undefined;
          return <CodeEditor label={text.yaml} value={value ?? ""} format="yaml" maxHeight="24rem" />;
        }}
      </Loaded>
    </Card>
  );
}
