/** One certificate beside the list: its names, its dates, and revoking it. */
import { useSignal } from "@preact/signals";
import type { CertificateSummary } from "#identity/api";
import { Button } from "../../components/button.tsx";
import { CopyButton } from "../../components/copy.tsx";
import { ActionDialog, Dialog } from "../../components/dialog.tsx";
import { Facts } from "../../components/layout.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { formatAgo, formatTime, now } from "../../data/time.ts";
import { lifeOf, workloadOf } from "./core.ts";
import { LifeBadge } from "./life.tsx";
import { certificatesText } from "./text.ts";

interface CertificatePanelProps {
  /** Absent: it is not in the list any more. */
  readonly of: CertificateSummary | undefined;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function CertificatePanel({ of, onClose, onDone }: CertificatePanelProps) {
  const text = certificatesText();
  const isRevoking = useSignal(false);
  if (!of) {
    return (
      <Dialog isSide title={text.details} width="32rem" onClose={onClose}>
        <p class="muted">{text.gone}</p>
      </Dialog>
    );
  }
  const { serial, spiffeId, revoked } = of;
  const { name } = workloadOf(spiffeId);
  const { state } = lifeOf(of, now.value);
  return (
    <Dialog
      isSide
      title={name}
      width="32rem"
      onClose={onClose}
      footer={
        <Button
          kind="danger"
          needs="identity:manage"
          isDisabled={revoked !== undefined || state === "expired"}
          onClick={() => (isRevoking.value = true)}
        >
          {text.revoke}
        </Button>
      }
    >
      <div class="actions">
        <LifeBadge state={state} isReplaced={false} />
      </div>
      <CertificateFacts of={of} />
      {isRevoking.value && (
        <ActionDialog
          title={text.revokeTitle(name)}
          confirm={text.revoke}
          isDangerous
          needs="identity:manage"
          call={{ method: "DELETE", path: pathOf`/v1/certificates/${serial}` }}
          cli={cliOf("cert", "revoke", serial)}
          done={text.revokeDone}
          onClose={() => (isRevoking.value = false)}
          onDone={async () => {
            onClose();
            await onDone();
          }}
        >
          <p>{text.revokeText}</p>
        </ActionDialog>
      )}
    </Dialog>
  );
}

function CertificateFacts({ of }: { readonly of: CertificateSummary }) {
  const text = certificatesText();
  const { serial, spiffeId, dns = [], ips = [], issuedAt, expiresAt, by, revoked } = of;
  const names = [...dns, ...ips];
  return (
    <Facts
      of={[
        ["SPIFFE ID", <Copied key="id" of={spiffeId} />],
        ...(names.length === 0 ? [] : [[text.names, <span class="mono">{names.join(", ")}</span>] as const]),
        [text.issuedAt, `${formatTime(issuedAt)} (${formatAgo(issuedAt)})`],
        [text.ends, `${formatTime(expiresAt)} (${formatAgo(expiresAt)})`],
        [text.by, by],
        ...(revoked ? [[text.revoked, `${formatTime(revoked.at)} ${text.revokedBy(revoked.by)}`] as const] : []),
        [text.serial, <Copied key="serial" of={serial} />],
      ]}
    />
  );
}

function Copied({ of }: { readonly of: string }) {
  return (
    <span class="certificates-copied">
      <span class="mono">{of}</span>
      <CopyButton text={of} />
    </span>
  );
}
