/** States as an icon and a word, never by color alone. */
import { CircleAlert, CircleCheck, CircleDashed, CircleQuestionMark, CircleX, LogOut } from "lucide";
import type { ComponentChildren } from "preact";
import { commonText } from "../text/common.ts";
import { Icon, type IconNode } from "./icon.tsx";

export type Tone = "good" | "warn" | "bad" | "idle" | "moving" | "accent";

export interface BadgeProps {
  readonly tone?: Tone;
  readonly icon?: IconNode;
  readonly children: ComponentChildren;
  readonly title?: string;
}

export function Badge({ tone = "idle", icon, children, title }: BadgeProps) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {icon && <Icon of={icon} size={12} />}
      {children}
    </span>
  );
}

export type HealthStatus = "passing" | "warning" | "critical" | "unknown" | "draining" | "absent";

const HEALTH: Readonly<Record<HealthStatus, readonly [Tone, IconNode]>> = {
  passing: ["good", CircleCheck],
  warning: ["warn", CircleAlert],
  critical: ["bad", CircleX],
  unknown: ["idle", CircleQuestionMark],
  draining: ["moving", LogOut],
  absent: ["idle", CircleDashed],
};

export function healthWord(status: HealthStatus): string {
  return commonText()[`status_${status}`];
}

export function HealthBadge({ status }: { readonly status: HealthStatus }) {
  const [tone, icon] = HEALTH[status];
  return (
    <Badge tone={tone} icon={icon}>
      {healthWord(status)}
    </Badge>
  );
}
