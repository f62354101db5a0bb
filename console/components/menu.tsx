/** A menu that a button opens by `popovertarget`; it closes by Escape, by a choice and by a click elsewhere. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

export function Menu({ id, children }: { readonly id: string; readonly children: ComponentChildren }) {
  const menu = useRef<HTMLDivElement>(null);
  const place = () => {
    const button = document.querySelector(`[popovertarget="${CSS.escape(id)}"]`);
    const element = menu.current;
    if (!button || !element) return;
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = element;
    const below = at.bottom + height + 8 < innerHeight;
    element.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
    element.style.top = below ? `${at.bottom}px` : `${Math.max(8, at.top - height - 8)}px`;
  };
  return (
    <div
      id={id}
      ref={menu}
      popover="auto"
      class="menu"
      onToggle={(event) => {
        if (event.newState !== "open") return;
        place();
        menu.current?.querySelector<HTMLElement>("button, a")?.focus();
      }}
      onClick={() => menu.current?.hidePopover()}
      onKeyDown={(event) => {
        const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
        if (step === 0) return;
        event.preventDefault();
        const entries = [...(menu.current?.querySelectorAll<HTMLElement>("button, a") ?? [])];
        const next = entries.indexOf(document.activeElement as HTMLElement) + step;
        entries[(next + entries.length) % entries.length]?.focus();
      }}
    >
      {children}
    </div>
  );
}
