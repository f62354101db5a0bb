/** One token beside the list: its limits, its dates, rotating and revoking it. */
import { useSignal } from "@preact/signals";
import type { IssuedToken, TokenSummary } from "#access/api";
import { Badge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CopyButton } from "../../components/copy.tsx";
import { ActionDialog, Dialog } from "../../components/dialog.tsx";
import { Facts } from "../../components/layout.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { linkTo } from "../../data/location.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { formatNumber } from "../../text/mod.ts";
import { Expiry, isOwnToken, LastUse, PolicyBadges } from "./columns.tsx";
import { isLastOperator, LIMIT_KINDS, tokenPolicy } from "./core.ts";
import { RotateDialog } from "./rotate.tsx";
import { accessText } from "./text.ts";

/** The token behind the links that a start prints; kernel/access gives it this id. */
const CONSOLE_TOKEN = "c0c0c0c0c0c0c0c0";

interface TokenPanelProps {
  readonly id: string;
  readonly tokens: readonly TokenSummary[];
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
  readonly onRotated: (token: IssuedToken) => void;
}

export function TokenPanel({ id, tokens, onClose, onDone, onRotated }: TokenPanelProps) {
  const text = accessText();
  const isRevoking = useSignal(false);
  const isRotating = useSignal(false);
  const token = tokens.find((one) => one.id === id);
  if (!token) {
    return (
      <Dialog isSide title={text.details} width="30rem" onClose={onClose}>
        <p class="muted">{text.gone}</p>
      </Dialog>
    );
  }
  return (
    <Dialog
      isSide
      title={token.name}
      width="30rem"
      onClose={onClose}
      footer={
        <>
          <Button kind="danger" needs="access:manage" onClick={() => (isRevoking.value = true)}>
            {text.revoke}
          </Button>
          <Button href={linkTo("/access", { view: "check", who: "token", token: token.id })}>{text.mayWhat}</Button>
          {token.id !== CONSOLE_TOKEN && token.signIn === undefined && (
            <Button needs="access:manage" onClick={() => (isRotating.value = true)}>
              {text.rotate}
            </Button>
          )}
        </>
      }
    >
      <div class="actions">
        <PolicyBadges policies={token.policies} />
        {isOwnToken(token) && <Badge tone="moving">{text.own}</Badge>}
      </div>
      <p class="muted">{token.id === CONSOLE_TOKEN ? text.consoleNote : policyTextOf(token)}</p>
      <TokenFacts token={token} />
      {isRotating.value && (
        <RotateDialog
          token={token}
          onClose={() => (isRotating.value = false)}
          onDone={(issued) => {
            onClose();
            onRotated(issued);
          }}
        />
      )}
      {isRevoking.value && (
        <RevokeDialog
          token={token}
          isLast={isLastOperator(token, tokens, now.value)}
          onClose={() => (isRevoking.value = false)}
          onDone={async () => {
            onClose();
            await onDone();
          }}
        />
      )}
    </Dialog>
  );
}

function TokenFacts({ token }: { readonly token: TokenSummary }) {
  const text = accessText();
  const { id, createdAt, expiresAt, rotatedAt, previousUntil, lastUsedFrom, browsers = 0 } = token;
  return (
    <Facts
      of={[
        ...LIMIT_KINDS.flatMap((kind) =>
          token[kind] === undefined ? [] : [[text[kind], token[kind].join(", ")] as const],
        ),
        ...(LIMIT_KINDS.some((kind) => token[kind] !== undefined) ? [] : [[text.limits, text.noLimits] as const]),
        [text.created, `${formatTime(createdAt)} (${formatAgo(createdAt)})`],
        [
          text.expires,
          <span class="token-name">
            <Expiry token={token} />
            {expiresAt !== undefined && <span class="muted">{formatTime(expiresAt)}</span>}
          </span>,
        ],
        ...(rotatedAt === undefined
          ? []
          : [[text.rotatedAt, `${formatTime(rotatedAt)} (${formatAgo(rotatedAt)})`] as const]),
        ...(previousUntil === undefined ? [] : [[text.previousUntil, formatAgo(previousUntil)] as const]),
        [
          text.lastUsed,
          <span class="token-name">
            <LastUse token={token} />
            {lastUsedFrom !== undefined && <span class="mono muted">{lastUsedFrom}</span>}
          </span>,
        ],
        [text.browsersLong, formatNumber(browsers)],
        [
          text.id,
          <span class="token-name">
            <span class="mono">{id}</span>
            <CopyButton text={id} />
          </span>,
        ],
      ]}
    />
  );
}

/** The meaning of a built-in policy. */
function policyTextOf(token: TokenSummary): string | undefined {
  const policy = tokenPolicy(token);
  return policy && accessText()[`policy_${policy}`];
}

interface RevokeDialogProps {
  readonly token: TokenSummary;
  readonly isLast: boolean;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

function RevokeDialog({ token, isLast, onClose, onDone }: RevokeDialogProps) {
  const text = accessText();
  const { id, name, policies, browsers = 0 } = token;
  const isOwn = isOwnToken(token);
  return (
    <ActionDialog
      title={text.revokeTitle(name)}
      confirm={text.revoke}
      isDangerous
      needs="access:manage"
      call={{ method: "DELETE", path: pathOf`/v1/tokens/${id}` }}
      cli={cliOf("token", "revoke", id)}
      done={text.revoked}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.revokeText(policies.join(", "))}</p>
      {browsers > 0 && !isOwn && <p>{text.revokeBrowsers(browsers)}</p>}
      {isOwn && <p class="notice">{text.revokeOwn}</p>}
      {isLast && <p class="notice">{text.revokeLast}</p>}
    </ActionDialog>
  );
}
