/** The head of every page of routes: title, actions and the parts. */
import type { ComponentChildren } from "preact";
import { PageHeader, Tabs } from "../../components/layout.tsx";
import { linkTo } from "../../data/location.ts";
import { routesText } from "./text.ts";

export type RoutesPart = "list" | "test" | "edit" | "releases";

const PATHS: Readonly<Record<RoutesPart, string>> = {
  list: "/routes",
  test: "/routes/test",
  edit: "/routes/edit",
  releases: "/routes/releases",
};

interface RoutesFrameProps {
  readonly part: RoutesPart;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function RoutesFrame({ part, actions, children }: RoutesFrameProps) {
  const text = routesText();
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle}>
        {actions}
      </PageHeader>
      <Tabs
        label={text.tabs}
        tabs={(["list", "test", "edit", "releases"] as const).map((id) => ({
          href: linkTo(PATHS[id]),
          name: text[id],
          isCurrent: id === part,
        }))}
      />
      {children}
    </>
  );
}
