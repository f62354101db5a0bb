/** Cells about a route that its list and other views share. */
import { EyeOff, Reply, Sparkles } from "lucide";
import type { RouteView } from "#gateway/api";
import { Badge } from "../../components/badge.tsx";
import { ServiceBadge } from "../../components/service-state.tsx";
import { configOf, marksOf, ownAnswer, pathOfRoute, pathText } from "./core/summary.ts";
import type { StateOfTargets } from "./data.ts";
import { routesText } from "./text.ts";

/** Methods, path and hosts in one line: the path is the part that must not be cut. */
export function MatchText({ view }: { readonly view: RouteView }) {
  const config = configOf(view);
  const { hosts = [], methods = [] } = config.match;
  const [host, ...others] = hosts;
  const path = pathText(pathOfRoute(config));
  return (
    <span class="mono route-match" title={[...hosts, path, ...methods].join(" ")}>
      {methods.length > 0 && <span class="methods">{methods.join(",")} </span>}
      {path}
      {host !== undefined && (
        <span class="muted">
          {" "}
          {host}
          {others.length > 0 && ` +${others.length}`}
        </span>
      )}
    </span>
  );
}

export function TargetText({ view }: { readonly view: RouteView }) {
  const text = routesText();
  const { targets } = view;
  const answer = ownAnswer(configOf(view));
  if (answer !== undefined) {
    return (
      <span class="mono muted" title={text.ownAnswer}>
        {answer}
      </span>
    );
  }
  const names = targets.map(({ service, cluster }) => service ?? cluster.replace(/^cluster:/, ""));
  return (
    <span title={names.join(", ")}>
      {names[0]}
      {names.length > 1 && <span class="muted"> +{names.length - 1}</span>}
    </span>
  );
}

interface RouteStateProps {
  readonly view: RouteView;
  readonly stateOf: StateOfTargets;
}

/** That it is never used, or else the state of its services. */
export function RouteState({ view, stateOf }: RouteStateProps) {
  const text = routesText();
  if (view.shadowedBy !== undefined) {
    return (
      <Badge tone="warn" icon={EyeOff} title={text.shadowedBy(view.shadowedBy)}>
        {text.never}
      </Badge>
    );
  }
  const state = stateOf(view.targets);
  if (state !== undefined) return <ServiceBadge state={state} />;
  if (view.targets.length > 0) return <span class="muted">–</span>;
  return (
    <Badge icon={Reply} title={text.ownAnswer}>
      {text.gateway}
    </Badge>
  );
}

/** Whether a reader should look at the route. */
export function isTroubled({ view, stateOf }: RouteStateProps): boolean {
  const state = stateOf(view.targets);
  return view.shadowedBy !== undefined || (state !== undefined && state !== "passing" && state !== "draining");
}

export function RouteMarks({ view }: { readonly view: RouteView }) {
  const marks = marksOf(configOf(view));
  return (
    <span class="route-marks" title={marks.join(", ")}>
      {marks.map((mark) => (
        <span key={mark} class="route-mark">
          {mark}
        </span>
      ))}
    </span>
  );
}

export function HintBadge() {
  const text = routesText();
  return (
    <Badge icon={Sparkles} title={text.hintedBy}>
      {text.hinted}
    </Badge>
  );
}
