/** Buttons, and buttons that are disabled with a reason when the caller's policies do not allow their action. */
import type { ComponentChildren } from "preact";
import { can, policyNames } from "../data/session.ts";
import { commonText } from "../text/common.ts";
import { Icon, type IconNode } from "./icon.tsx";

export interface ButtonProps {
  readonly children?: ComponentChildren;
  readonly icon?: IconNode;
  /** For buttons that show only an icon. */
  readonly label?: string;
  readonly kind?: "normal" | "primary" | "quiet" | "danger" | "danger primary";
  readonly isSmall?: boolean;
  readonly isDisabled?: boolean;
  readonly onClick?: (event: MouseEvent) => void;
  readonly type?: "button" | "submit";
  /** The action of the control API that this button needs, such as `config:publish`. */
  readonly needs?: string;
  readonly href?: string;
  readonly "aria-haspopup"?: "menu" | "dialog";
  readonly "aria-pressed"?: boolean;
  readonly popovertarget?: string;
  readonly form?: string;
}

export function Button(props: ButtonProps) {
  const { children, icon, label, kind = "normal", isSmall = false, needs, href, onClick, type = "button" } = props;
  const isAllowed = needs === undefined || can(needs);
  const isDisabled = props.isDisabled === true || !isAllowed;
  const title = isAllowed ? label : commonText().notAllowed(policyNames(), needs);
  const name = `button ${kind} ${isSmall ? "small" : ""} ${children === undefined ? "icon-only" : ""}`;
  const inner = (
    <>
      {icon && <Icon of={icon} size={isSmall ? 14 : 16} />}
      {children}
    </>
  );
  if (href !== undefined && !isDisabled) {
    return (
      <a class={name} href={href} title={title} aria-label={label}>
        {inner}
      </a>
    );
  }
  return (
    <button
      class={name}
      type={type}
      form={props.form}
      title={title}
      aria-label={label}
      aria-haspopup={props["aria-haspopup"]}
      aria-pressed={props["aria-pressed"]}
      popovertarget={props.popovertarget}
      // Not `disabled`: a disabled button cannot be reached by keyboard, and so cannot tell its reason.
      aria-disabled={isDisabled}
      onClick={(event) => {
        if (isDisabled) return event.preventDefault();
        onClick?.(event);
      }}
    >
      {inner}
    </button>
  );
}
