/** The authority itself: its roots and intermediates, a rotation with its phases, and the bundle that everything trusts. */
import { BadgeCheck, CircleCheck, Clock, Import, LogOut, RefreshCw } from "lucide";
import { useSignal } from "@preact/signals";
import type { AuthorityCertificate, AuthorityView, TrustBundle } from "#identity/api";
import { Badge, type Tone } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CommandBlock, CopyButton } from "../../components/copy.tsx";
import { Icon, type IconNode } from "../../components/icon.tsx";
import { Card } from "../../components/layout.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { DataTable, type TableColumn } from "../../components/table.tsx";
import { useResource } from "../../data/resource.ts";
import { formatAgo, formatTime } from "../../data/time.ts";
import { groupedFingerprint, ROTATION_PHASES } from "./core.ts";
import { ImportDialog } from "./import.tsx";
import { RotateDialog } from "./rotate.tsx";
import { certificatesText } from "./text.ts";
import type { CertificatesViewProps } from "./view.ts";

export default function AuthorityPart({ authority, onChange }: CertificatesViewProps) {
  const text = certificatesText();
  const dialog = useSignal<"rotate" | "import" | undefined>(undefined);
  const close = () => (dialog.value = undefined);
  const isNone = authority.state === "none";
  return (
    <>
      <RotationNotice of={authority} />
      <Card
        isFlush
        title={`${text.authority} · ${authority.trustDomain}`}
        actions={
          <span class="actions">
            <Button icon={Import} needs="identity:manage" onClick={() => (dialog.value = "import")}>
              {text.import}
            </Button>
            <Button
              icon={RefreshCw}
              needs="identity:manage"
              isDisabled={isNone || authority.rotation !== undefined}
              onClick={() => (dialog.value = "rotate")}
            >
              {text.rotate}
            </Button>
          </span>
        }
      >
        <DataTable
          label={text.authority}
          id="authority-"
          rows={authority.certificates}
          keyOf={({ fingerprint }) => fingerprint}
          columns={authorityColumns()}
          empty={
            <EmptyState icon={BadgeCheck} title={text.noneTitle} command="posthouse join-token create --kind agent">
              {text.noneText}
            </EmptyState>
          }
        />
      </Card>
      {!isNone && <BundleCard key={trustedRoots(authority)} />}
      {dialog.value === "rotate" && <RotateDialog onClose={close} onDone={onChange} />}
      {dialog.value === "import" && <ImportDialog onClose={close} onDone={onChange} />}
    </>
  );
}

/** Which phase a rotation is in, and when it goes on. */
function RotationNotice({ of: { rotation, certificates } }: { readonly of: AuthorityView }) {
  const text = certificatesText();
  const retiring = certificates.find(({ state, part }) => state === "retiring" && part === "root");
  if (!rotation && !retiring) return null;
  const at = rotation ? 0 : 2;
  const part = rotation?.part ?? "root";
  return (
    <section class="certificates-rotation" aria-label={text.rotating(text[`part_${part}`])}>
      <Icon of={RefreshCw} />
      <div>
        <h2>{text.rotating(text[`part_${part}`])}</h2>
        <p>{text.rotatingText}</p>
        <ol>
          {ROTATION_PHASES.map((phase, index) => (
            <li key={phase} aria-current={index === at ? "step" : undefined}>
              <b>{text[`auth_${phase}`]}</b> <span class="muted">{text[`auth_${phase}Text`]}</span>
            </li>
          ))}
        </ol>
        <p class="muted">
          {rotation
            ? text.switchesAt(formatAgo(rotation.switchesAt))
            : retiring?.removedAt !== undefined && text.removedAt(formatAgo(retiring.removedAt))}
        </p>
      </div>
    </section>
  );
}

const STATES: Readonly<Record<AuthorityCertificate["state"], readonly [Tone, IconNode]>> = {
  announced: ["moving", Clock],
  issuing: ["good", CircleCheck],
  retiring: ["idle", LogOut],
};

function authorityColumns(): readonly TableColumn<AuthorityCertificate>[] {
  const text = certificatesText();
  return [
    {
      id: "part",
      title: text.part,
      width: "minmax(5rem, 1fr)",
      isName: true,
      cell: ({ part, subject, imported }) => (
        <span class="certificates-part" title={subject}>
          {text[`part_${part}`]}
          {imported && <Badge>{text.imported}</Badge>}
        </span>
      ),
    },
    {
      id: "state",
      title: text.state,
      width: "minmax(5.5rem, 8rem)",
      cell: ({ state, removedAt }) => {
        const [tone, icon] = STATES[state];
        const title = removedAt === undefined ? text[`auth_${state}Text`] : text.removedAt(formatAgo(removedAt));
        return (
          <Badge tone={tone} icon={icon} title={title}>
            {text[`auth_${state}`]}
          </Badge>
        );
      },
    },
    {
      id: "ends",
      title: text.ends,
      width: "minmax(4.5rem, 8rem)",
      cell: ({ expiresAt }) => <span title={formatTime(expiresAt)}>{formatAgo(expiresAt)}</span>,
    },
    {
      id: "key",
      title: text.keyHere,
      width: "9rem",
      priority: 2,
      cell: ({ keyHere }) => <span class="muted">{keyHere ? text.keySealed : text.keyAbsent}</span>,
    },
    {
      id: "fingerprint",
      title: text.fingerprint,
      width: "minmax(10rem, 3fr)",
      priority: 2,
      cell: ({ fingerprint }) => (
        <span class="certificates-copied">
          <span class="mono muted truncate" title={fingerprint}>
            {groupedFingerprint(fingerprint)}
          </span>
          <CopyButton text={fingerprint} />
        </span>
      ),
    },
    {
      id: "pem",
      title: "PEM",
      width: "3.5rem",
      isRight: true,
      priority: 2,
      cell: ({ pem }) => <CopyButton text={pem} label={text.copyPem} />,
    },
  ];
}

/** Changes with the bundle, so that it is read again. */
function trustedRoots({ certificates }: AuthorityView): string {
  return certificates.flatMap(({ part, fingerprint }) => (part === "root" ? [fingerprint] : [])).join(" ");
}

function BundleCard() {
  const text = certificatesText();
  const bundle = useResource<TrustBundle>("/v1/trust-bundle");
  return (
    <Card title={text.bundle} actions={bundle.data && <CopyButton text={bundle.data.pem} label={text.copyPem} />}>
      <p class="muted">{text.bundleText}</p>
      <Loaded of={bundle} rows={2}>
        {({ fingerprints, revision }) => (
          <>
            <ul class="certificates-prints" aria-label={text.fingerprint}>
              {fingerprints.map((one) => (
                <li key={one}>
                  <span class="mono">{groupedFingerprint(one)}</span>
                  <CopyButton text={one} />
                </li>
              ))}
            </ul>
            <p class="muted">
              {text.revision(revision)}. {text.bundleFetch}
            </p>
            <CommandBlock command="posthouse cert bundle > posthouse-ca.pem" />
          </>
        )}
      </Loaded>
    </Card>
  );
}
