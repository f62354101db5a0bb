/** Recent changes of one service: its instances, and the config of the same name. */
import type { ChangeList as Changes } from "#timeline/api";
import { ChangeList } from "../../components/change-list.tsx";
import { Card } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { pathOf } from "../../data/api.ts";
import { useResource } from "../../data/resource.ts";
import { servicesText } from "./text.ts";

/** Changes that are read: what the server gives at once. */
const READ = 500;
const SHOWN_MAX = 100;

export function ServiceChanges({ namespace, service }: { readonly namespace: string; readonly service: string }) {
  const text = servicesText();
  const changes = useResource<Changes>(pathOf`/v1/changes?namespace=${namespace}&limit=${READ}`, ["changes"]);
  return (
    <Card isFlush title={text.viewChanges}>
      <Loaded of={changes}>
        {(list) => {
          const own = list.changes.filter(({ subject }) => subject.service === service || subject.app === service);
          return own.length === 0 ? (
            <p class="empty-note muted">{text.noChanges}</p>
          ) : (
            <ChangeList changes={own.slice(0, SHOWN_MAX)} />
          );
        }}
      </Loaded>
    </Card>
  );
}
