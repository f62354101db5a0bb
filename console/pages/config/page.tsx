/** Config: the list of sets, or one set. */
import { useRoute } from "preact-iso";
import { ConfigList } from "./list/list.tsx";
import { lazyPart } from "../../components/lazy-part.tsx";
import "./config.css";

const SetView = lazyPart(() => import("./set/set.tsx"));

export default function ConfigPage() {
  const { params } = useRoute();
  const { namespace, app, profile } = params;
  if (namespace === undefined || app === undefined || profile === undefined) return <ConfigList />;
  return <SetView key={`${namespace}/${app}/${profile}`} name={{ namespace, app, profile }} />;
}
