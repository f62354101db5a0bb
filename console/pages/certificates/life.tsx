/** What is left of a certificate's life, as a bar and a word. */
import { Ban, CircleCheck, TimerOff, TriangleAlert } from "lucide";
import type { CertificateSummary } from "#identity/api";
import { Badge } from "../../components/badge.tsx";
import { now } from "../../data/time.ts";
import { lifeOf, type LifeState } from "./core.ts";
import { certificatesText } from "./text.ts";

export function LifeBar({ of, isReplaced }: { readonly of: CertificateSummary; readonly isReplaced: boolean }) {
  const text = certificatesText();
  const { state, share } = lifeOf(of, now.value);
  const percent = Math.round(share * 100);
  return (
    <span class="certificates-life" title={text.lifeLeft(percent)}>
      <meter class={isReplaced ? "" : state} min={0} max={1} value={share} aria-label={text.lifeLeft(percent)} />
      <LifeBadge state={state} isReplaced={isReplaced} />
    </span>
  );
}

interface LifeBadgeProps {
  readonly state: LifeState;
  readonly isReplaced: boolean;
}

export function LifeBadge({ state, isReplaced }: LifeBadgeProps) {
  const text = certificatesText();
  if (state === "revoked") {
    return (
      <Badge tone="bad" icon={Ban}>
        {text.revoked}
      </Badge>
    );
  }
  if (state === "expired") return <Badge icon={TimerOff}>{text.expired}</Badge>;
  if (isReplaced) return <Badge title={text.replacedTitle}>{text.replaced}</Badge>;
  return state === "late" ? (
    <Badge tone="warn" icon={TriangleAlert} title={text.lateTitle}>
      {text.late}
    </Badge>
  ) : (
    <Badge tone="good" icon={CircleCheck}>
      {text.valid}
    </Badge>
  );
}
