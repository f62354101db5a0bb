/** Who may do what: tokens, policies, bindings, sign-ins, joins and refusals, each a view. Only the tokens are loaded at once. */
import "./access.css";
import type { ComponentType } from "preact";
import { lazyPart } from "../../components/lazy-part.tsx";
import { useQuery } from "../../data/location.ts";
import { type AccessViewId, allowedViews } from "./frame.tsx";
import { TokensView } from "./tokens.tsx";

const VIEWS: Readonly<Record<AccessViewId, ComponentType>> = {
  tokens: TokensView,
  policies: lazyPart(() => import("./policies.tsx")),
  bindings: lazyPart(() => import("./bindings.tsx")),
  check: lazyPart(() => import("./check.tsx")),
  signins: lazyPart(() => import("./sign-ins.tsx")),
  join: lazyPart(() => import("./join.tsx")),
  denials: lazyPart(() => import("./denials.tsx")),
};

export default function AccessPage() {
  const [wanted] = useQuery("view", "tokens");
  const allowed = allowedViews();
  const view = allowed.find((id) => id === wanted) ?? allowed[0] ?? "check";
  const View = VIEWS[view];
  return <View key={view} />;
}
