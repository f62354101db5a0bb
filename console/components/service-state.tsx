/** The state of a service: as a badge, and as a bar of its instances' health. */
import { CircleAlert, CircleCheck, CircleDashed, CircleQuestionMark, CircleX, LogOut } from "lucide";
import type { ServiceSummary } from "#registry/api";
import type { ServiceState } from "../data/services.ts";
import { defineText, formatNumber } from "../text/mod.ts";
import { Badge, healthWord, type Tone } from "./badge.tsx";
import type { IconNode } from "./icon.tsx";

export const serviceStateText = defineText(
  {
    down: "Down",
    degraded: "Degraded",
    warning: "Warning",
    unknown: "Unknown",
    draining: "Draining",
    passing: "Healthy",
    empty: "No instances",
  },
  {
    down: "不可用",
    degraded: "部分故障",
    warning: "警告",
    unknown: "未知",
    draining: "下线中",
    passing: "健康",
    empty: "无实例",
  },
);

export const SERVICE_TONES: Readonly<Record<ServiceState, Tone>> = {
  down: "bad",
  degraded: "bad",
  warning: "warn",
  unknown: "idle",
  draining: "moving",
  passing: "good",
  empty: "idle",
};

const ICONS: Readonly<Record<ServiceState, IconNode>> = {
  down: CircleX,
  degraded: CircleAlert,
  warning: CircleAlert,
  unknown: CircleQuestionMark,
  draining: LogOut,
  passing: CircleCheck,
  empty: CircleDashed,
};

export function ServiceBadge({ state }: { readonly state: ServiceState }) {
  return (
    <Badge tone={SERVICE_TONES[state]} icon={ICONS[state]}>
      {serviceStateText()[state]}
    </Badge>
  );
}

const PARTS = ["passing", "warning", "critical", "unknown"] as const;

/** Shares of the instances by health; the words beside it say the same. */
export function HealthBar({ of: counts }: { readonly of: Pick<ServiceSummary, (typeof PARTS)[number]> }) {
  return (
    <span class="health-bar" aria-hidden="true">
      {PARTS.filter((part) => counts[part] > 0).map((part) => (
        <span key={part} class={part} style={{ flexGrow: counts[part] }} />
      ))}
    </span>
  );
}

/** `3 passing, 1 critical`. */
export function healthWords(counts: ServiceSummary): string {
  return [...PARTS, "draining" as const]
    .filter((part) => counts[part] > 0)
    .map((part) => `${formatNumber(counts[part])} ${healthWord(part).toLowerCase()}`)
    .join(" · ");
}
