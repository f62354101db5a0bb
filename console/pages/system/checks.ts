/** The checks that a member can make of itself, in the levels of `posthouse doctor`. A check is a row of this table. Pure. */
import type { AcknowledgementList, SecretsStatus } from "#config-server/api";
import type { SystemReport } from "#server/api";
import { gatewayRows, isCertificateOld } from "./core.ts";
import type { Readiness } from "./data.ts";
import type { systemText } from "./text.ts";

export interface CheckFacts {
  readonly namespace: string;
  readonly nowMs: number;
  readonly readiness: Readiness | undefined;
  readonly report: SystemReport | undefined;
  /** `hidden`: the caller's role does not see them. */
  readonly secrets: SecretsStatus | "hidden" | undefined;
  readonly gateways: AcknowledgementList | undefined;
  readonly ago: (time: string) => string;
}

export type CheckLevel = "ok" | "warn" | "fail" | "skip";

export interface Finding {
  readonly level: CheckLevel;
  readonly detail: string;
}

type Words = ReturnType<typeof systemText>;

interface SystemCheck {
  readonly id: "ready" | "store" | "secrets" | "certificates" | "gateways";
  /** Undefined while the facts are on their way. */
  readonly run: (facts: CheckFacts, words: Words) => Finding | undefined;
}

const ok = (detail: string): Finding => ({ level: "ok", detail });
const warn = (detail: string): Finding => ({ level: "warn", detail });
const fail = (detail: string): Finding => ({ level: "fail", detail });
const skip = (detail: string): Finding => ({ level: "skip", detail });

export const SYSTEM_CHECKS: readonly SystemCheck[] = [
  {
    id: "ready",
    run({ readiness }, words) {
      if (!readiness) return undefined;
      if (!readiness.isReady) return fail(readiness.reasons.join("; "));
      return readiness.degraded.length > 0 ? warn(readiness.degraded.join("; ")) : ok(words.readyText);
    },
  },
  {
    id: "store",
    run({ report }, words) {
      if (!report) return undefined;
      if (!report.store) return fail(words.storeSilent);
      const { engine } = report.store;
      return engine === "memory" ? warn(words.storeVolatile) : ok(words.storeText(words[`engine_${engine}`]));
    },
  },
  {
    id: "secrets",
    run({ secrets }, words) {
      if (secrets === undefined) return undefined;
      if (secrets === "hidden") return skip(words.secretsHidden);
      if (secrets.problem !== undefined) return fail(secrets.problem);
      if (secrets.unreadable.length > 0) return fail(words.secretsUnreadable(secrets.unreadable.length));
      if (secrets.source === "") return skip(words.secretsNone);
      return ok(words.secretsText(secrets.keys.reduce((sum, { values }) => sum + values, 0)));
    },
  },
  {
    id: "certificates",
    run({ report, nowMs, ago }, words) {
      if (!report) return undefined;
      const first = report.certificates.toSorted((a, b) => (a.expiresAt < b.expiresAt ? -1 : 1))[0];
      if (!first) return skip(words.certificatesNone);
      const detail = words.certificateText(first.name, ago(first.expiresAt));
      if (Date.parse(first.expiresAt) <= nowMs) return fail(detail);
      return isCertificateOld(first, nowMs) ? warn(detail) : ok(detail);
    },
  },
  {
    id: "gateways",
    run({ gateways, namespace }, words) {
      if (!gateways) return undefined;
      const rows = gatewayRows(gateways, namespace).filter(({ isConnected }) => isConnected);
      const behind = rows.filter(({ state }) => state !== "current").length;
      if (rows.length === 0) return skip(words.gatewaysNone);
      return behind > 0 ? warn(words.gatewaysBehind(behind)) : ok(words.gatewaysText(rows.length));
    },
  },
];
