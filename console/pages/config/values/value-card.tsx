/** One value: where it comes from, its text in its format, and what can be done with it. */
import { Download, Pencil, Trash2 } from "lucide";
import { useSignal } from "@preact/signals";
import type { Draft, EffectiveConfig, Item, Release } from "#config-server/api";
import { Badge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { CodeEditor } from "../../../components/code-editor.tsx";
import { CopyAs, CopyButton } from "../../../components/copy.tsx";
import { Segmented } from "../../../components/field.tsx";
import { Card, Facts } from "../../../components/layout.tsx";
import { cliOf } from "../../../data/commands.ts";
import { linkTo, setQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { bytesOfValue, setIdOf, setPageOf, setPathOf, sizeText } from "../core/names.ts";
import type { Origin } from "../core/origin.ts";
import { DeleteKeyDialog } from "../edit/delete-key.tsx";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { SecretValue } from "./secret-value.tsx";

interface ValueCardProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly item: EffectiveConfig["items"][string];
  readonly origin: Origin;
  readonly draft: Draft | undefined;
}

export function ValueCard({ set, name, item, origin, draft }: ValueCardProps) {
  const text = setText();
  const isDeleting = useSignal(false);
  const isOwn = origin.kind === "own";
  const release = useResource<Release>(`${setPathOf(origin.set)}/releases/${origin.version}`);
  const written = release.data?.items[name];
  const at = `${set.path}/keys/${encodeURIComponent(name)}`;
  return (
    <Card
      title={<code>{name}</code>}
      actions={
        <>
          {!item.secret && item.format !== "binary" && <CopyButton text={item.value} />}
          <CopyAs cli={cliOf("config", "get", set.id, name)} call={{ path: at }} />
          {isOwn && (
            <Button
              isSmall
              kind="danger"
              icon={Trash2}
              needs="config:draft"
              aria-haspopup="dialog"
              onClick={() => (isDeleting.value = true)}
            >
              {text.deleteKey}
            </Button>
          )}
          <Button isSmall kind="primary" icon={Pencil} needs="config:draft" onClick={() => setQuery({ edit: name })}>
            {isOwn || draft ? text.edit : text.override}
          </Button>
        </>
      }
    >
      <ValueFacts set={set} name={name} item={item} origin={origin} written={written} draft={draft} />
      {item.secret ? (
        <SecretValue set={origin.set} name={name} version={origin.version} format={item.format} />
      ) : (
        <ValueText name={name} item={item} written={written} href={at} />
      )}
      {isDeleting.value && <DeleteKeyDialog set={set} name={name} onClose={() => (isDeleting.value = false)} />}
    </Card>
  );
}

interface ValueFactsProps extends ValueCardProps {
  readonly written: Item | undefined;
}

function ValueFacts({ set, name, item, origin, written, draft }: ValueFactsProps) {
  const text = setText();
  const schema = `${name}.schema.json`;
  const rows: [string, preact.ComponentChildren][] = [
    [
      text.origin,
      <>
        {text[`originLong_${origin.kind}`]}
        {origin.kind !== "own" && (
          <>
            {" "}
            <a class="mono" href={linkTo(setPageOf(origin.set), { key: name })}>
              {setIdOf(origin.set)}
            </a>
          </>
        )}{" "}
        <a href={linkTo(setPageOf(origin.set), { tab: "history", b: String(origin.version) })}>
          {text.version(origin.version)}
        </a>
        {written?.expand && (
          <>
            {" "}
            <Badge>{text.placeholders}</Badge>
          </>
        )}
      </>,
    ],
    [
      text.format,
      <>
        <code>{item.format}</code>
        {!item.secret && <span class="muted"> · {sizeText(bytesOfValue(item.format, item.value))}</span>}
      </>,
    ],
  ];
  if (set.effective.data?.items[schema]) {
    rows.push([text.schemaOf, <a href={linkTo(setPageOf(set.name), { key: schema })}>{schema}</a>]);
  }
  if (draft)
    rows.push([text.draftSide, <a href={linkTo(setPageOf(set.name), { tab: "review" })}>{text.tab_review}</a>]);
  return <Facts of={rows} />;
}

interface ValueTextProps {
  readonly name: string;
  readonly item: EffectiveConfig["items"][string];
  readonly written: Item | undefined;
  readonly href: string;
}

function ValueText({ name, item, written, href }: ValueTextProps) {
  const text = setText();
  const view = useSignal<"received" | "written">("received");
  if (item.format === "binary") {
    return (
      <div class="actions">
        <span class="muted">{text.binary(sizeText(bytesOfValue(item.format, item.value)))}</span>
        <Button isSmall icon={Download} href={href}>
          {text.download}
        </Button>
      </div>
    );
  }
  const isShownWritten = view.value === "written" && written !== undefined;
  return (
    <>
      {written?.expand && (
        <Segmented
          label={text.valueView}
          value={view.value}
          options={[
            ["received", text.asReceived],
            ["written", text.asWritten],
          ]}
          onChange={(next) => (view.value = next)}
        />
      )}
      <CodeEditor label={name} format={item.format} value={isShownWritten ? written.value : item.value} />
    </>
  );
}
