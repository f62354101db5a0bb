/** The health of an instance over time, as one bar. */
import { formatTime } from "../data/time.ts";
import { healthWord, type HealthStatus } from "./badge.tsx";

export interface RibbonPart {
  readonly status: HealthStatus;
  readonly from: number;
  readonly to: number;
}

interface RibbonProps {
  /** In order of time, without gaps, in milliseconds. */
  readonly parts: readonly RibbonPart[];
  readonly label: string;
}

/** Width of the drawing's own coordinates. */
const WIDTH = 1000;
/** A flip that lasts seconds stays visible within a day. */
const LEAST_WIDTH = 3;

export function Ribbon({ parts, label }: RibbonProps) {
  const start = parts[0]?.from ?? 0;
  const span = Math.max(1, (parts.at(-1)?.to ?? 1) - start);
  const summary = parts
    .slice(-6)
    .map(({ status, from }) => `${formatTime(from)} ${healthWord(status)}`)
    .join("; ");
  return (
    <svg
      class="ribbon"
      viewBox={`0 0 ${WIDTH} 18`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${label}: ${summary}`}
    >
      {parts.map(({ status, from, to }) => (
        <rect
          key={from}
          class={status}
          x={((from - start) / span) * WIDTH}
          width={Math.max(LEAST_WIDTH, ((to - from) / span) * WIDTH)}
          height={18}
        >
          <title>{`${healthWord(status)}: ${formatTime(from)} – ${formatTime(to)}`}</title>
        </rect>
      ))}
    </svg>
  );
}
