/** The choice of the namespace that pages show. */
import { useNamespace } from "../data/location.ts";
import { useResource } from "../data/resource.ts";
import { commonText } from "../text/common.ts";

interface NamespaceList {
  readonly namespaces: readonly string[];
}

export function NamespaceChoice() {
  const [namespace, setNamespace] = useNamespace();
  const { data } = useResource<NamespaceList>("/v1/namespaces", ["services", "config"]);
  const names = new Set(["default", namespace, ...(data?.namespaces ?? [])]);
  return (
    <select
      class="select namespace"
      aria-label={commonText().namespace}
      title={commonText().namespace}
      value={namespace}
      onChange={(event) => setNamespace(event.currentTarget.value)}
    >
      {[...names].sort().map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}
