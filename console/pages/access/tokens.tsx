/** Tokens: who has which policies, until when; issuing, rotating and revoking them. */
import { Clock, Plus } from "lucide";
import { useSignal } from "@preact/signals";
import type { IssuedToken, TokenList, TokenSummary } from "#access/api";
import { Button } from "../../components/button.tsx";
import { SearchField } from "../../components/field.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { Loaded } from "../../components/states.tsx";
import { DataTable } from "../../components/table.tsx";
import { cliOf } from "../../data/commands.ts";
import { useQuery } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { now } from "../../data/time.ts";
import { commonText } from "../../text/common.ts";
import { tokenColumns } from "./columns.tsx";
import { expiryState, matchesToken } from "./core.ts";
import { AccessFrame } from "./frame.tsx";
import { IssueDialog } from "./issue.tsx";
import { IssuedDialog } from "./issued.tsx";
import { TokenPanel } from "./panel.tsx";
import { accessText } from "./text.ts";

const PATH = "/v1/tokens";

export function TokensView() {
  const text = accessText();
  const [chosen, setChosen] = useQuery("token");
  const isIssuing = useSignal(false);
  /** Kept only while its dialog is open. */
  const issued = useSignal<IssuedToken | undefined>(undefined);
  const list = useResource<TokenList>(PATH, ["access"]);
  const showIssued = (token: IssuedToken) => {
    issued.value = token;
    void list.reload();
  };
  return (
    <>
      <AccessFrame view="tokens" cli={cliOf("token", "ls")} call={{ path: PATH }}>
        <Button kind="primary" icon={Plus} needs="access:manage" onClick={() => (isIssuing.value = true)}>
          {text.issue}
        </Button>
      </AccessFrame>
      <Loaded of={list}>
        {({ tokens }) => (
          <>
            <ExpiringNotice tokens={tokens} />
            <TokenCard tokens={tokens} chosen={chosen} onChoose={setChosen} />
            {chosen !== "" && (
              <TokenPanel
                id={chosen}
                tokens={tokens}
                onClose={() => setChosen("")}
                onDone={list.reload}
                onRotated={showIssued}
              />
            )}
          </>
        )}
      </Loaded>
      {isIssuing.value && <IssueDialog onClose={() => (isIssuing.value = false)} onIssued={showIssued} />}
      {issued.value && <IssuedDialog issued={issued.value} onClose={() => (issued.value = undefined)} />}
    </>
  );
}

function ExpiringNotice({ tokens }: { readonly tokens: readonly TokenSummary[] }) {
  const text = accessText();
  const soon = tokens.filter((token) => expiryState(token, now.value) === "soon");
  if (soon.length === 0) return null;
  return (
    <div class="notice expiring" role="status">
      <Icon of={Clock} />
      <div>
        <b>{text.soonTitle(soon.length)}</b>: {soon.map(({ name }) => name).join(", ")}
        <p>{text.soonText}</p>
      </div>
    </div>
  );
}

interface TokenCardProps {
  readonly tokens: readonly TokenSummary[];
  readonly chosen: string;
  readonly onChoose: (id: string) => void;
}

function TokenCard({ tokens, chosen, onChoose }: TokenCardProps) {
  const text = accessText();
  const [filter, setFilter] = useQuery("q");
  return (
    <Card isFlush title={text.tokens(tokens.length)} actions={<SearchField value={filter} onInput={setFilter} />}>
      <DataTable
        label={text.title}
        rows={tokens.filter((token) => matchesToken(token, filter))}
        keyOf={({ id }) => id}
        onChoose={({ id }) => onChoose(id)}
        isChosen={({ id }) => id === chosen}
        initialSort="name"
        columns={tokenColumns()}
        empty={<p class="access-note">{commonText().nothingMatches}</p>}
      />
    </Card>
  );
}
