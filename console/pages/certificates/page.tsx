/** The certificate authority and the identities that it gave: issued certificates, the authority with its bundle, and nodes. */
import "./certificates.css";
import { CircleAlert, CircleCheck, CircleDashed, CircleX } from "lucide";
import type { ComponentType } from "preact";
import type { AuthorityView } from "#identity/api";
import { Badge } from "../../components/badge.tsx";
import { CopyAs } from "../../components/copy.tsx";
import { PageHeader, Tabs } from "../../components/layout.tsx";
import { lazyPart } from "../../components/lazy-part.tsx";
import { Loaded } from "../../components/states.tsx";
import type { ApiCall } from "../../data/api.ts";
import { cliOf } from "../../data/commands.ts";
import { linkTo, useQuery } from "../../data/location.ts";
import { useRereading } from "../../data/rereading.ts";
import { type Resource, useResource } from "../../data/resource.ts";
import { IssuedView } from "./issued.tsx";
import { certificatesText } from "./text.ts";
import type { CertificatesViewProps } from "./view.ts";

type ViewId = "issued" | "authority" | "nodes";

interface ViewRow {
  readonly id: ViewId;
  readonly cli: string;
  readonly call: ApiCall;
  readonly View: ComponentType<CertificatesViewProps>;
}

const VIEWS: readonly ViewRow[] = [
  { id: "issued", cli: cliOf("cert", "ls"), call: { path: "/v1/certificates" }, View: IssuedView },
  {
    id: "authority",
    cli: cliOf("authority", "show"),
    call: { path: "/v1/authority" },
    View: lazyPart<CertificatesViewProps>(() => import("./authority.tsx")),
  },
  {
    id: "nodes",
    cli: cliOf("node", "ls"),
    call: { path: "/v1/nodes" },
    View: lazyPart<CertificatesViewProps>(() => import("./nodes.tsx")),
  },
];

/** Milliseconds between readings: certificates live for a day. */
const REREAD_MS = 30_000;

export default function CertificatesPage() {
  const text = certificatesText();
  const [view] = useQuery("view", "issued");
  const authority: Resource<AuthorityView> = useResource<AuthorityView>("/v1/authority");
  useRereading(authority, REREAD_MS);
  const current = VIEWS.find(({ id }) => id === view) ?? VIEWS[0];
  if (!current) return null;
  const { View, cli, call } = current;
  return (
    <>
      <PageHeader
        title={text.title}
        subtitle={text.subtitle}
        badge={authority.data && <AuthorityBadge of={authority.data} />}
      >
        <CopyAs cli={cli} call={call} />
      </PageHeader>
      <Tabs
        label={text.views}
        tabs={VIEWS.map(({ id }) => ({
          href: linkTo("/certificates", id === "issued" ? {} : { view: id }),
          name: text[`view_${id}`],
          isCurrent: id === current.id,
        }))}
      />
      <Loaded of={authority}>
        {(data) => (
          <>
            {data.problem !== undefined && <p class="notice">{data.problem}</p>}
            <View key={current.id} authority={data} onChange={authority.reload} />
          </>
        )}
      </Loaded>
    </>
  );
}

function AuthorityBadge({ of: { state } }: { readonly of: AuthorityView }) {
  const text = certificatesText();
  if (state === "ready") {
    return (
      <Badge tone="good" icon={CircleCheck}>
        {text.state_ready}
      </Badge>
    );
  }
  if (state === "none") return <Badge icon={CircleDashed}>{text.state_none}</Badge>;
  const isLost = state === "keys-lost";
  return (
    <Badge tone="bad" icon={isLost ? CircleAlert : CircleX}>
      {isLost ? text.state_keysLost : text.state_expired}
    </Badge>
  );
}
