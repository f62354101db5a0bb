/** Parts of a page: header, cards, figures, facts, tabs. */
import type { ComponentChildren } from "preact";

interface PageHeaderProps {
  readonly title: ComponentChildren;
  readonly subtitle?: ComponentChildren;
  readonly crumbs?: readonly (readonly [label: string, href: string])[];
  readonly badge?: ComponentChildren;
  readonly children?: ComponentChildren;
}

/** Title at the left, actions (children) at the right. */
export function PageHeader({ title, subtitle, crumbs = [], badge, children }: PageHeaderProps) {
  return (
    <header class="page-header">
      <div class="titles">
        {crumbs.length > 0 && (
          <nav class="crumbs" aria-label="breadcrumbs">
            {crumbs.map(([label, href]) => (
              <span key={href}>
                <a href={href}>{label}</a> <span aria-hidden="true">/</span>
              </span>
            ))}
          </nav>
        )}
        <div class="actions">
          <h1>{title}</h1>
          {badge}
        </div>
        {subtitle !== undefined && <p class="subtitle">{subtitle}</p>}
      </div>
      {children !== undefined && <div class="actions">{children}</div>}
    </header>
  );
}

interface CardProps {
  readonly title?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
  /** Whether the content reaches the card's edges, as tables and lists do. */
  readonly isFlush?: boolean;
}

export function Card({ title, actions, children, isFlush = false }: CardProps) {
  return (
    <section class="card contained">
      {title !== undefined && (
        <header>
          <h2>{title}</h2>
          {actions}
        </header>
      )}
      {isFlush ? children : <div class="body">{children}</div>}
    </section>
  );
}

interface StatProps {
  readonly label: string;
  readonly value: ComponentChildren;
  readonly unit?: string;
  readonly note?: ComponentChildren;
  readonly href?: string;
  readonly children?: ComponentChildren;
}

/** One figure with its label; several stand in a `<div class="stats">`. */
export function Stat({ label, value, unit, note, href, children }: StatProps) {
  const inner = (
    <>
      <span class="label">{label}</span>
      <span class="value">
        {value}
        {unit !== undefined && <small> {unit}</small>}
      </span>
      {note !== undefined && <span class="note">{note}</span>}
      {children}
    </>
  );
  return href === undefined ? (
    <div class="stat">{inner}</div>
  ) : (
    <a class="stat" href={href}>
      {inner}
    </a>
  );
}

/** Names and values below each other. */
export function Facts({ of }: { readonly of: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}

interface TabsProps {
  readonly label: string;
  readonly tabs: readonly { readonly href: string; readonly name: string; readonly isCurrent: boolean }[];
}

/** Parts of one page, each with its own URL. */
export function Tabs({ label, tabs }: TabsProps) {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(({ href, name, isCurrent }) => (
        <a key={href} href={href} aria-current={isCurrent ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}
