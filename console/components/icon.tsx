/** Icons of Lucide, drawn inline, so that they take the color of the text. */
import { h } from "preact";
import type { IconNode } from "lucide";

export type { IconNode };

export interface IconProps {
  readonly of: IconNode;
  readonly size?: number;
  /** Read by screen readers; absent for decoration. */
  readonly label?: string;
  readonly class?: string;
}

export function Icon({ of, size = 16, label, class: name }: IconProps) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width={2}
      stroke-linecap="round"
      stroke-linejoin="round"
      class={name}
      {...(label === undefined ? { "aria-hidden": "true" } : { role: "img", "aria-label": label })}
    >
      {of.map(([tag, attributes]) => h(tag, attributes as Record<string, string>))}
    </svg>
  );
}
