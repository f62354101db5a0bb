/** Search over pages, services and config sets. */
import { Box, FileText } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { ServiceList } from "#registry/api";
import { Icon, type IconNode } from "../components/icon.tsx";
import { linkTo, useNamespace } from "../data/location.ts";
import { useResource } from "../data/resource.ts";
import { can } from "../data/session.ts";
import { PAGES } from "../pages/mod.ts";
import { commonText } from "../text/common.ts";
import { shellText } from "../text/shell.ts";

interface PaletteEntry {
  readonly name: string;
  readonly kind: string;
  readonly icon: IconNode;
  readonly href: string;
}

interface ConfigSets {
  readonly sets: readonly { readonly namespace: string; readonly app: string; readonly profile: string }[];
}

/** Entries shown at once: what fits on a screen. */
const SHOWN_MAX = 12;

export function Palette({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const text = useSignal("");
  const chosen = useSignal(0);
  const { route } = useLocation();
  const entries = usePaletteEntries()
    .filter((entry) => matches(entry.name, text.value))
    .slice(0, SHOWN_MAX);
  const at = Math.min(chosen.value, Math.max(0, entries.length - 1));
  useEffect(() => dialog.current?.showModal(), []);
  const open = (entry: PaletteEntry | undefined) => {
    if (!entry) return;
    onClose();
    route(entry.href);
  };
  return (
    <dialog
      ref={dialog}
      class="dialog palette"
      aria-label={shellText().searchHint}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-entries"
        aria-activedescendant={`palette-${at}`}
        placeholder={shellText().searchHint}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          chosen.value = 0;
        }}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "ArrowDown") chosen.value = Math.min(at + 1, entries.length - 1);
          else if (event.key === "ArrowUp") chosen.value = Math.max(at - 1, 0);
          else if (event.key === "Enter") open(entries[at]);
          else return;
          event.preventDefault();
        }}
      />
      <ul id="palette-entries" role="listbox">
        {entries.map((entry, index) => (
          <li
            key={entry.href}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerEnter={() => (chosen.value = index)}
            onClick={() => open(entry)}
          >
            <Icon of={entry.icon} />
            <span class="truncate">{entry.name}</span>
            <span class="kind">{entry.kind}</span>
          </li>
        ))}
        {entries.length === 0 && <li class="muted">{commonText().nothingMatches}</li>}
      </ul>
    </dialog>
  );
}

/** Each letter in order; so `ordst` finds `orders-staging`. */
function matches(name: string, wanted: string): boolean {
  let at = 0;
  const lower = name.toLowerCase();
  for (const letter of wanted.toLowerCase().replaceAll(/\s/g, "")) {
    at = lower.indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

function usePaletteEntries(): readonly PaletteEntry[] {
  const [namespace] = useNamespace();
  const services = useResource<ServiceList>(`/v1/services?namespace=${namespace}`, ["services"]);
  const configs = useResource<ConfigSets>(can("config:read") ? "/v1/config" : undefined, ["config"]);
  const idOf = (id: string) => PAGES.find((page) => page.id === id);
  return [
    ...PAGES.filter(({ group, needs }) => group !== undefined && (needs === undefined || can(needs))).map((page) => ({
      name: page.title(),
      kind: "",
      icon: page.icon,
      href: linkTo(`/${page.id}`),
    })),
    ...(services.data?.services ?? []).map(({ service }) => ({
      name: service,
      kind: idOf("services")?.title() ?? "",
      icon: Box,
      href: linkTo(`/services/${service}`),
    })),
    ...(configs.data?.sets ?? []).map(({ namespace: within, app, profile }) => ({
      name: `${within}/${app}/${profile}`,
      kind: idOf("config")?.title() ?? "",
      icon: FileText,
      href: linkTo(`/config/${within}/${app}/${profile}`),
    })),
  ];
}
