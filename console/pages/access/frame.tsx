/** The head of every view: title, actions and the parts that the caller may see. */
import type { ComponentChildren } from "preact";
import { CopyAs } from "../../components/copy.tsx";
import { PageHeader, Tabs } from "../../components/layout.tsx";
import type { ApiCall } from "../../data/api.ts";
import { linkTo } from "../../data/location.ts";
import { can } from "../../data/session.ts";
import { accessText } from "./text.ts";
import { viewsText } from "./text-views.ts";

/** The views in order, each with the action without which it shows nothing. */
const NEEDS = {
  tokens: "access:manage",
  policies: "access:manage",
  bindings: "access:manage",
  check: undefined,
  signins: "access:manage",
  join: "identity:manage",
  denials: "access:explain",
} as const;
export type AccessViewId = keyof typeof NEEDS;

/** Everyone may ask about themselves, so there is always one. */
export function allowedViews(): readonly AccessViewId[] {
  return (Object.keys(NEEDS) as AccessViewId[]).filter((id) => {
    const needs = NEEDS[id];
    return needs === undefined || can(needs);
  });
}

interface AccessFrameProps {
  readonly view: AccessViewId;
  readonly cli: string;
  readonly call: ApiCall;
  /** Actions at the right. */
  readonly children?: ComponentChildren;
}

export function AccessFrame({ view, cli, call, children }: AccessFrameProps) {
  const text = accessText();
  const words = viewsText();
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle}>
        <CopyAs cli={cli} call={call} />
        {children}
      </PageHeader>
      <Tabs
        label={words.views}
        tabs={allowedViews().map((id) => ({
          href: linkTo("/access", id === "tokens" ? {} : { view: id }),
          name: words[`view_${id}`],
          isCurrent: id === view,
        }))}
      />
    </>
  );
}
