/** Bindings: the policies of groups and users who sign in by OpenID Connect. */
import { Plus, Users } from "lucide";
import { useSignal } from "@preact/signals";
import type { Binding, BindingList } from "#access/api";
import { Button } from "../../components/button.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { SearchField } from "../../components/field.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { BindingDialog } from "./binding-edit.tsx";
import { LimitsCell, PolicyBadges } from "./columns.tsx";
import { AccessFrame } from "./frame.tsx";
import { viewsText } from "./text-views.ts";

const PATH = "/v1/bindings";

export default function BindingsView() {
  const text = viewsText();
  const list = useResource<BindingList>(PATH, ["access"]);
  const [words, setWords] = useQuery("q");
  const edited = useSignal<Binding | "new" | undefined>(undefined);
  const removed = useSignal<Binding | undefined>(undefined);
  const filter = words.trim().toLowerCase();
  const add = (
    <Button kind="primary" icon={Plus} needs="access:manage" onClick={() => (edited.value = "new")}>
      {text.bind}
    </Button>
  );
  return (
    <>
      <AccessFrame view="bindings" cli={cliOf("binding", "ls")} call={{ path: PATH }}>
        {add}
      </AccessFrame>
      <Loaded of={list}>
        {({ bindings }) => (
          <Card
            isFlush
            title={text.bindings(bindings.length)}
            actions={<SearchField value={words} onInput={setWords} />}
          >
            {bindings.length === 0 ? (
              <EmptyState
                icon={Users}
                title={text.noBindings}
                command="posthouse binding set group:developers --policy editor"
              >
                {text.noBindingsText}
              </EmptyState>
            ) : (
              <DataTable
                label={text.view_bindings}
                rows={bindings.filter(({ subject, policies }) =>
                  `${subject} ${policies.join(" ")}`.toLowerCase().includes(filter),
                )}
                keyOf={({ subject }) => subject}
                onChoose={(binding) => (edited.value = binding)}
                initialSort="subject"
                columns={bindingColumns((binding) => (removed.value = binding))}
                empty={<p class="access-note">{commonText().nothingMatches}</p>}
              />
            )}
          </Card>
        )}
      </Loaded>
      {edited.value && (
        <BindingDialog
          of={edited.value === "new" ? undefined : edited.value}
          onClose={() => (edited.value = undefined)}
          onDone={list.reload}
        />
      )}
      {removed.value && (
        <RemoveDialog of={removed.value} onClose={() => (removed.value = undefined)} onDone={list.reload} />
      )}
    </>
  );
}

interface RemoveDialogProps {
  readonly of: Binding;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function RemoveDialog({ of: { subject, revision }, onClose, onDone }: RemoveDialogProps) {
  const text = viewsText();
  return (
    <ActionDialog
      title={text.unbindTitle(subject)}
      confirm={text.unbind}
      isDangerous
      needs="access:manage"
      call={{
        method: "DELETE",
        path: pathOf`/v1/bindings/${subject}`,
        headers: { "if-match": `"${revision}"` },
      }}
      cli={cliOf("binding", "rm", subject)}
      done={text.unbound}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.unbindText}</p>
    </ActionDialog>
  );
}

function bindingColumns(onRemove: (binding: Binding) => void): readonly TableColumn<Binding>[] {
  const text = viewsText();
  return [
    {
      id: "subject",
      title: text.subject,
      width: "minmax(5.5rem, 2fr)",
      isName: true,
      cell: ({ subject }) => {
        const [kind, name] = subject.split(/:(.*)/s);
        return (
          <span title={subject}>
            <span class="muted">{kind === "group" ? text.group : text.user}</span> {name}
          </span>
        );
      },
      sort: ({ subject }) => subject,
    },
    {
      id: "policies",
      title: text.view_policies,
      width: "minmax(4rem, 1.5fr)",
      cell: ({ policies }) => (
        <span class="badges">
          <PolicyBadges policies={policies} />
        </span>
      ),
      sort: ({ policies }) => policies.join(" "),
    },
    {
      id: "limits",
      title: text.limits,
      width: "minmax(8rem, 2fr)",
      priority: 2,
      cell: (binding) => <LimitsCell of={binding} />,
    },
    {
      id: "changed",
      title: text.changedBy,
      width: "minmax(8rem, 1fr)",
      priority: 3,
      cell: ({ changedBy, changedAt }) => (
        <span class="muted" title={formatTime(changedAt)}>
          {changedBy}, {formatAgo(changedAt)}
        </span>
      ),
      sort: ({ changedAt }) => Date.parse(changedAt),
    },
    {
      id: "remove",
      title: commonText().actions,
      isTitleHidden: true,
      width: "4.5rem",
      isRight: true,
      cell: (binding) => (
        <span onClick={(event) => event.stopPropagation()}>
          <Button kind="danger" isSmall needs="access:manage" onClick={() => onRemove(binding)}>
            {text.unbind}
          </Button>
        </span>
      ),
    },
  ];
}
