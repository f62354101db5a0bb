/** The columns of a list of instances. */
import { bracketedHost } from "#base";
import type { Instance } from "#registry/api";
import type { Column } from "./table.ts";

export function addressText({ address, port }: Pick<Instance, "address" | "port">): string {
  return `${bracketedHost(address)}:${port}`;
}

export const INSTANCE_COLUMNS: readonly Column<Instance>[] = [
  ["ID", ({ id }) => id],
  ["ADDRESS", addressText],
  ["STATUS", ({ status }) => status],
  ["LIFECYCLE", ({ lifecycle }) => lifecycle],
  ["VERSION", ({ version }) => version],
  ["ZONE", ({ zone }) => zone],
  ["OWNER", ({ owner }) => owner],
  ["TAGS", ({ tags }) => tags.join(",")],
];
