/** The gateway's refusal of a request, from a row of the error table, as plain data. */
import { GATEWAY_FLAGS, GatewayErrors, type GatewayErrorName, type GatewayFlag } from "../../api.ts";
import type { CompiledRoute } from "../routing/route.ts";
import type { HeaderPair } from "../request/header-list.ts";

export interface Refuse {
  readonly kind: "refuse";
  readonly route: CompiledRoute | undefined;
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly flag: GatewayFlag;
  readonly detail: string;
  readonly headers: readonly HeaderPair[];
}

const NO_HEADERS: readonly HeaderPair[] = [];

/** The refusal for a row of the error table. */
export function refuse(
  name: GatewayErrorName,
  detail: string,
  options: { route?: CompiledRoute | undefined; headers?: readonly HeaderPair[]; status?: number } = {},
): Refuse {
  const row = GatewayErrors[name];
  return {
    kind: "refuse",
    route: options.route,
    status: options.status ?? row.status,
    code: row.code,
    title: row.title,
    flag: GATEWAY_FLAGS[name],
    detail,
    headers: options.headers ?? NO_HEADERS,
  };
}
