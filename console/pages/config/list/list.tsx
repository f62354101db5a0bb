/** All config sets by environment, with a search in their content. */
import { FileText, Plus } from "lucide";
import { useSignal } from "@preact/signals";
import type { SetList, SetSummary } from "#config-server/api";
import { Button } from "../../../components/button.tsx";
import { CopyAs } from "../../../components/copy.tsx";
import { SearchField } from "../../../components/field.tsx";
import { PageHeader } from "../../../components/layout.tsx";
import { EmptyState, Loaded } from "../../../components/states.tsx";
import { useNamespace, useQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { configText } from "../text.ts";
import { Environment } from "./environment.tsx";
import { NewSetDialog } from "./new-set.tsx";
import { ConfigSearch } from "./search.tsx";

export function ConfigList() {
  const text = configText();
  const sets = useResource<SetList>("/v1/config", ["config", "rollouts"]);
  const [wanted, setWanted] = useQuery("search");
  const [namespace] = useNamespace();
  const isCreating = useSignal(false);
  return (
    <>
      <PageHeader title={text.title} subtitle={text.subtitle}>
        <CopyAs cli="posthouse config releases" call={{ path: "/v1/config" }} />
        <Button icon={Plus} kind="primary" needs="config:draft" onClick={() => (isCreating.value = true)}>
          {text.newSet}
        </Button>
      </PageHeader>
      <div class="toolbar config-search">
        <SearchField value={wanted} onInput={setWanted} label={text.search} />
      </div>
      {wanted !== "" && <ConfigSearch text={wanted} />}
      <Loaded of={sets}>
        {({ sets: all }) =>
          all.length === 0 ? (
            <EmptyState
              icon={FileText}
              title={text.emptyTitle}
              command="posthouse config put orders app.yaml ./app.yaml --reason 'first release'"
            >
              {text.emptyText}
            </EmptyState>
          ) : (
            byNamespace(all, namespace).map(([name, within]) => (
              <Environment key={name} namespace={name} sets={within} />
            ))
          )
        }
      </Loaded>
      {isCreating.value && <NewSetDialog namespace={namespace} onClose={() => (isCreating.value = false)} />}
    </>
  );
}

/** The namespace of the top bar first, then the others by name. */
function byNamespace(sets: readonly SetSummary[], first: string): [string, SetSummary[]][] {
  const groups = Map.groupBy(sets, ({ namespace }) => namespace);
  return [...groups].sort(([a], [b]) => Number(b === first) - Number(a === first) || (a < b ? -1 : 1));
}
