/** `posthouse route ls`: the routes of the released gateway config, in its order. */
import type { Command } from "commander";
import type { RouteConfig } from "#gateway/api";
import { readGatewayText } from "../gateway-text.ts";
import { defineListing } from "../listing.ts";
import { withNamespace } from "../namespace.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the gateway's config");
  defineListing<RouteConfig, string>(command, context, {
    columns: [
      ["ROUTE", ({ name }) => name],
      ["HOSTS", ({ match }) => match.hosts?.join(",")],
      ["PATH", ({ match }) => pathText(match.path)],
      ["METHODS", ({ match }) => match.methods?.join(",")],
      ["TO", targetText],
      ["POLICIES", policiesText],
      ["PRIORITY", ({ priority }) => priority],
    ],
    given: (_args, { namespace }) => namespace as string,
    async rows(client, namespace) {
      const { document } = await readGatewayText(client, namespace);
      const { routes = [] } = (document.toJS() ?? {}) as { routes?: RouteConfig[] };
      return routes;
    },
    empty: "no route is released; add one with: posthouse route add NAME --path-prefix /orders --service orders",
  });
}

function pathText(path: RouteConfig["match"]["path"]): string | undefined {
  if (path === undefined) return undefined;
  const [kind = "", value = ""] = Object.entries(path)[0] ?? [];
  return kind === "prefix" ? `${value === "/" ? "" : value}/*` : kind === "exact" ? value : `${kind} ${value}`;
}

function targetText({ service, cluster, split, redirect, respond }: RouteConfig): string | undefined {
  if (split) return split.map((one) => `${one.service ?? one.cluster} ${one.weight ?? ""}`.trim()).join(", ");
  if (redirect) return "redirect";
  if (respond) return `answer ${respond.status ?? ""}`.trim();
  return service ?? (cluster === undefined ? undefined : `cluster ${cluster}`);
}

/** Names of the parts that admit, limit or change requests. */
const POLICIES = [
  "jwt",
  "acl",
  "rateLimit",
  "quota",
  "concurrency",
  "cors",
  "cache",
  "retry",
  "filters",
  "mirror",
] as const;

function policiesText(route: RouteConfig): string {
  const fields = route as Readonly<Record<string, unknown>>;
  return POLICIES.filter((name) => fields[name] !== undefined).join(",");
}
