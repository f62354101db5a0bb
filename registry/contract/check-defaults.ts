/**
 * A check with every default filled in and its target spelled out, and the problems that its shape does not show. Part of
 * the contract, since servers and agents must accept and judge the same checks.
 */
import type { Static } from "typebox";
import { bracketedHost, hostAddressProblem, urlHostProblem } from "#base";
import {
  AGENT_ONLY_CHECKS,
  DAMPING_DEFAULTS,
  JUDGING_DEFAULTS,
  type AliasCheck,
  type Check,
  type CHECK_KINDS,
  type CheckType,
  type Damping,
  type ExecCheck,
  type GrpcCheck,
  type HttpCheck,
  type TcpCheck,
  type Tls,
  type UdpCheck,
} from "./checks.ts";

export interface ResolvedJudging {
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly initialDelaySeconds: number;
  readonly rise: number;
  readonly fall: number;
  readonly warnAfterMs?: number;
  readonly damping: Required<Static<typeof Damping>> | false;
  readonly deregisterAfterSeconds?: number;
}

type Judged<Kind> = Omit<Kind, keyof ResolvedJudging> & ResolvedJudging;
type Placed<Kind> = Omit<Kind, "host" | "port" | "tls"> & {
  readonly host: string;
  readonly port: number;
  readonly tls?: Tls;
};
type Http = Omit<HttpCheck, "path" | "url" | "method"> & { readonly url: string; readonly method: string };
type Grpc = Placed<Static<typeof GrpcCheck>> & { readonly service: string; readonly watch: boolean };
type Exec = Static<typeof ExecCheck> & { readonly args: readonly string[] };

/** The types without defaults of their own. */
type PlainType = Exclude<CheckType, "ttl" | "http" | "tcp" | "udp" | "grpc" | "exec" | "alias">;

export type ResolvedTtl = {
  readonly id: string;
  readonly type: "ttl";
  readonly ttlSeconds: number;
  readonly deregisterAfterSeconds?: number;
};
export type ResolvedProbe =
  | Judged<Http>
  | Judged<Placed<Static<typeof TcpCheck>>>
  | Judged<Omit<Placed<Static<typeof UdpCheck>>, "tls">>
  | Judged<Grpc>
  | Judged<Exec>
  | Judged<Static<typeof AliasCheck>>
  | { [Type in PlainType]: Judged<Static<(typeof CHECK_KINDS)[Type]>> }[PlainType];
export type ResolvedCheck = ResolvedTtl | ResolvedProbe;

/** Where an instance can be reached, for checks that do not state it. */
export interface InstancePlace {
  readonly host: string;
  readonly port: number;
  /** Whether its protocol uses TLS. */
  readonly tls: boolean;
}

/** Seconds between probes of an alias without a change of its target. It turns at once, since its target is damped already. */
const ALIAS_JUDGING = {
  intervalSeconds: 5,
  timeoutSeconds: 5,
  initialDelaySeconds: 0,
  rise: 1,
  fall: 1,
  damping: false,
} as const;

export function resolveCheck(check: Check, place: InstancePlace): ResolvedCheck {
  switch (check.type) {
    case "ttl":
      return { ...check };
    case "alias":
      return { ...check, ...ALIAS_JUDGING };
    case "http": {
      const {
        path = "/",
        url = `${place.tls ? "https" : "http"}://${bracketedHost(place.host)}:${place.port}${path}`,
      } = check;
      const { path: _path, ...rest } = check;
      return judged({ ...rest, url, method: check.method ?? "GET" });
    }
    case "tcp":
      return judged({ ...without(check), ...placed(check, place), ...tlsOf(check.tls, place) });
    case "udp":
      return judged({ ...check, ...placed(check, place) });
    case "grpc": {
      const { service = "", watch = false } = check;
      return judged({ ...without(check), ...placed(check, place), ...tlsOf(check.tls, place), service, watch });
    }
    case "exec":
      return judged({ ...check, args: check.args ?? [] });
    case "process":
    default:
      return judged(check);
  }
}

type StatedJudging = Partial<Omit<ResolvedJudging, "damping">> & { readonly damping?: Static<typeof Damping> | false };

function judged<Kind extends StatedJudging>(check: Kind): Omit<Kind, keyof ResolvedJudging> & ResolvedJudging {
  const { damping = {} } = check;
  return {
    ...check,
    intervalSeconds: check.intervalSeconds ?? JUDGING_DEFAULTS.intervalSeconds,
    timeoutSeconds: check.timeoutSeconds ?? JUDGING_DEFAULTS.timeoutSeconds,
    initialDelaySeconds: check.initialDelaySeconds ?? JUDGING_DEFAULTS.initialDelaySeconds,
    rise: check.rise ?? JUDGING_DEFAULTS.rise,
    fall: check.fall ?? JUDGING_DEFAULTS.fall,
    damping: damping !== false && { ...DAMPING_DEFAULTS, ...damping },
  };
}

function placed(
  { host, port }: { host?: string; port?: number },
  place: InstancePlace,
): { host: string; port: number } {
  return { host: host ?? place.host, port: port ?? place.port };
}

function without<Kind extends { tls?: unknown }>({ tls: _tls, ...rest }: Kind): Omit<Kind, "tls"> {
  return rest;
}

function tlsOf(stated: Tls | boolean | undefined, place: InstancePlace): { tls?: Tls } {
  if (typeof stated === "object") return { tls: stated };
  return (stated ?? place.tls) ? { tls: {} } : {};
}

/** Headers of the connection itself, which the probe controls. */
const OWN_HEADERS = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export interface CheckProblem {
  /** A JSON pointer into the check. */
  readonly field: string;
  /** The problem, and how to fix it. */
  readonly message: string;
}

/** The problem of a registration's address, if it has one. */
export function addressProblem(address: string | undefined): CheckProblem | undefined {
  const message = address === undefined ? undefined : hostAddressProblem(address);
  return message === undefined ? undefined : { field: "/address", message };
}

/** The problem of a check whose shape is valid, if it has one. */
export function checkProblem(check: Check, probedBy: "server" | "agent"): CheckProblem | undefined {
  return ruleProblem(check, probedBy) ?? targetProblem(check);
}

/** The problem of the addresses and host names of a check, if it has one. */
function targetProblem(check: Check): CheckProblem | undefined {
  const { tls } = check as { tls?: Tls | boolean };
  const serverName = typeof tls === "object" ? tls.serverName : undefined;
  const found: [field: string, message: string | undefined][] = [
    ["/host", "host" in check && check.host !== undefined ? hostAddressProblem(check.host) : undefined],
    ["/url", "url" in check && check.url !== undefined ? urlHostProblem(check.url) : undefined],
    ["/tls/serverName", serverName === undefined ? undefined : hostAddressProblem(serverName)],
  ];
  for (const [field, message] of found) if (message !== undefined) return { field, message };
  return undefined;
}

/** Without its addresses: a check that an older version stored may contain an address that is rejected today. */
export function ruleProblem(check: Check, probedBy: "server" | "agent"): CheckProblem | undefined {
  if (probedBy === "server" && AGENT_ONLY_CHECKS.has(check.type)) {
    return {
      field: "/type",
      message: `a check of type "${check.type}" runs only on the instance's own host; register it through the agent there, or use another type of check`,
    };
  }
  if ("damping" in check && check.damping) {
    const { reuse = DAMPING_DEFAULTS.reuse, suppress = DAMPING_DEFAULTS.suppress } = check.damping;
    if (reuse >= suppress) {
      const message = `${reuse} must be below suppress (${suppress}); otherwise a held check is released at once`;
      return { field: "/damping/reuse", message };
    }
  }
  if (check.type === "process" && (check.pid === undefined) === (check.pidFile === undefined)) {
    return { field: "/pid", message: "must state either pid or pidFile, and not both" };
  }
  return check.type === "http" ? httpProblem(check) : undefined;
}

function httpProblem(check: HttpCheck): CheckProblem | undefined {
  if (check.url !== undefined && check.path !== undefined) {
    return { field: "/path", message: "cannot be combined with url; state one of them" };
  }
  const body = check.bodyContains === undefined ? "bodyPattern" : "bodyContains";
  if (check.method === "HEAD" && check[body] !== undefined) {
    return { field: `/${body}`, message: "a response to HEAD has no body; use GET" };
  }
  for (const [index, one] of (check.expectStatus ?? []).entries()) {
    const [low = 0, high = low] = String(one).split("-").map(Number);
    if (low > high)
      return { field: `/expectStatus/${index}`, message: `the range ${one} is empty; put the lower status first` };
  }
  const own = Object.keys(check.headers ?? {}).find((name) => OWN_HEADERS.has(name.toLowerCase()));
  if (own !== undefined) {
    return { field: `/headers/${own}`, message: "the probe sets this header itself; remove it" };
  }
  return undefined;
}
