/** Small parts that the pages of services share. */
import { Ribbon } from "../../components/ribbon.tsx";
import { errorPercent } from "../../data/services.ts";
import { formatRate } from "../../text/mod.ts";
import { statusSpans, type InstanceRow } from "./core.ts";
import type { KnownHistory } from "./history.ts";

/** Percent from which the share of errors is marked. */
const ERRORS_MARKED = 1;

export function ErrorShare({ load }: { readonly load: { readonly rps: number; readonly errors: number } | undefined }) {
  const percent = load ? errorPercent(load) : null;
  if (percent === null) return <span class="muted">–</span>;
  return <span class={percent >= ERRORS_MARKED ? "bad-text" : ""}>{formatRate(percent)} %</span>;
}

/** `10.0.0.7:8080`, `[::1]:8080`. */
export function addressOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

export function InstanceRibbon({ row, history }: { readonly row: InstanceRow; readonly history: KnownHistory }) {
  if (!row.history) return null;
  return <Ribbon label={row.id} parts={statusSpans(row.history, history.from, history.to)} />;
}
