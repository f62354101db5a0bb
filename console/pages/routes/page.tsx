/** Routes of the gateways: their list, one route, the tester, the editor and the releases. Only the list is loaded at once. */
import { useRoute } from "preact-iso";
import { lazyPart } from "../../components/lazy-part.tsx";
import { RouteListView } from "./list.tsx";
import "./routes.css";

const RouteDetailView = lazyPart<{ readonly name: string }>(() => import("./detail.tsx"));
const RouteEditView = lazyPart(() => import("./edit.tsx"));
const RouteReleasesView = lazyPart(() => import("./releases.tsx"));
const RouteTestView = lazyPart(() => import("./test.tsx"));

export default function RoutesPage() {
  const { path, params } = useRoute();
  if (params["name"] !== undefined) return <RouteDetailView key={params["name"]} name={params["name"]} />;
  if (path.startsWith("/ui/routes/edit")) return <RouteEditView />;
  if (path.startsWith("/ui/routes/releases")) return <RouteReleasesView />;
  if (path.startsWith("/ui/routes/test")) return <RouteTestView />;
  return <RouteListView />;
}
