/**
 * A table of any length: sorted by its headings, moved through by j, k and Enter, and drawn only where it is visible. Columns of
 * priority 2 and 3 disappear in narrow places.
 */
import { ArrowDown, ArrowUp } from "lucide";
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { useSignal } from "@preact/signals";
import type { ComponentChildren, CSSProperties } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useQuery } from "../data/location.ts";
import { commonText } from "../text/common.ts";
import { Icon } from "./icon.tsx";

export interface TableColumn<Row> {
  readonly id: string;
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** What the column sorts by; absent: it cannot be sorted. */
  readonly sort?: (row: Row) => string | number;
  /** A track of a CSS grid, such as `8rem` or `minmax(10rem, 2fr)`. */
  readonly width: string;
  readonly isRight?: boolean;
  readonly isName?: boolean;
  /** For columns of buttons: the title is read out, and not drawn. */
  readonly isTitleHidden?: boolean;
  /** 2: not below 40 rem; 3: not below 62 rem. */
  readonly priority?: 2 | 3;
}

interface DataTableProps<Row> {
  readonly label: string;
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly columns: readonly TableColumn<Row>[];
  /** A page of its own for each row. */
  readonly hrefOf?: (row: Row) => string;
  readonly onChoose?: (row: Row) => void;
  readonly isChosen?: (row: Row) => boolean;
  /** `name` or `-name`, until the reader sorts. */
  readonly initialSort?: string;
  /** Names this table's sorting in the URL; one table per page needs none. */
  readonly id?: string;
  /** Shown instead of rows when there are none. */
  readonly empty?: ComponentChildren;
}

/** Rows from which a table gets a scroll area of its own, and draws only what is visible. */
const VIRTUAL_FROM = 100;
const ROW_PX = 36;

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, rows, keyOf, columns, initialSort = "", id = "", empty } = props;
  const [order, setOrder] = useQuery(`${id}sort`, initialSort);
  const width = useNarrowness();
  const sorted = useMemo(() => sortRows(rows, columns, order), [rows, columns, order]);
  const visible = columns.filter(({ priority = 1 }) => priority <= width.priority);
  const tracks = visible.map((column) => column.width).join(" ");
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>;
  const isVirtual = sorted.length >= VIRTUAL_FROM;
  const choose = (row: Row, element: HTMLElement | undefined) => {
    if (props.onChoose) props.onChoose(row);
    else element?.click();
  };
  const line = (row: Row, index: number, style: CSSProperties = {}) => (
    <TableLine
      key={keyOf(row)}
      row={row}
      index={index}
      columns={visible}
      style={style}
      href={props.hrefOf?.(row)}
      isChosen={props.isChosen?.(row)}
      onChoose={props.onChoose}
    />
  );
  return (
    <div
      ref={width.ref}
      class="table"
      role="table"
      aria-label={label}
      aria-rowcount={sorted.length}
      style={{ "--columns": tracks }}
      onKeyDown={(event) =>
        moveByKey(event, (index, element) => sorted[index] !== undefined && choose(sorted[index], element))
      }
    >
      {isVirtual ? (
        <VirtualLines
          rows={sorted}
          head={<TableHead columns={visible} order={order} onOrder={setOrder} />}
          line={line}
        />
      ) : (
        <>
          <TableHead columns={visible} order={order} onOrder={setOrder} />
          <div role="rowgroup">{sorted.map((row, index) => line(row, index))}</div>
        </>
      )}
    </div>
  );
}

function sortRows<Row>(rows: readonly Row[], columns: readonly TableColumn<Row>[], order: string): readonly Row[] {
  const isDown = order.startsWith("-");
  const by = columns.find(({ id }) => id === order.replace(/^-/, ""))?.sort;
  if (!by) return rows;
  const sign = isDown ? -1 : 1;
  const collator = new Intl.Collator(undefined, { numeric: true });
  return [...rows].sort((one, other) => {
    const [a, b] = [by(one), by(other)];
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b)));
  });
}

/** Which columns have room, by the width of the table itself. */
function useNarrowness() {
  const ref = useRef<HTMLDivElement>(null);
  const priority = useSignal(3);
  useEffect(() => {
    if (!ref.current) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      const rem = (entry?.contentRect.width ?? 0) / 16;
      priority.value = rem < 40 ? 1 : rem < 62 ? 2 : 3;
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [priority]);
  return { ref, priority: priority.value };
}

interface TableHeadProps<Row> {
  readonly columns: readonly TableColumn<Row>[];
  readonly order: string;
  readonly onOrder: (order: string) => void;
}

function TableHead<Row>({ columns, order, onOrder }: TableHeadProps<Row>) {
  return (
    <div class="head" role="row">
      {columns.map(({ id, title, sort, isRight, isTitleHidden }) => {
        const isUp = order === id;
        const isDown = order === `-${id}`;
        return (
          <div
            key={id}
            role="columnheader"
            class={isRight ? "right" : ""}
            aria-sort={isUp ? "ascending" : isDown ? "descending" : undefined}
          >
            {sort ? (
              <button type="button" title={commonText().sortBy(title)} onClick={() => onOrder(isUp ? `-${id}` : id)}>
                {title}
                {(isUp || isDown) && <Icon of={isUp ? ArrowUp : ArrowDown} size={12} />}
              </button>
            ) : (
              <span class={isTitleHidden ? "visually-hidden" : ""}>{title}</span>
            )}
          </div>
        );
      })}
    </div>
  );
}

interface TableLineProps<Row> {
  readonly row: Row;
  readonly index: number;
  readonly columns: readonly TableColumn<Row>[];
  readonly style: CSSProperties;
  readonly href: string | undefined;
  readonly isChosen: boolean | undefined;
  readonly onChoose: ((row: Row) => void) | undefined;
}

function TableLine<Row>({ row, index, columns, style, href, isChosen, onChoose }: TableLineProps<Row>) {
  const linkAt = Math.max(
    0,
    columns.findIndex(({ isName }) => isName),
  );
  return (
    <div
      class={`line ${onChoose || href !== undefined ? "choosable" : ""}`}
      style={style}
      data-index={index}
      role="row"
      aria-rowindex={index + 1}
      tabIndex={onChoose ? 0 : undefined}
      aria-selected={isChosen}
      onClick={onChoose && (() => onChoose(row))}
    >
      {columns.map(({ id, cell, isRight, isName }, at) => (
        <div key={id} role="cell" class={`cell ${isRight ? "right" : ""} ${isName ? "name" : ""}`}>
          {/* The link of the row's name covers the whole row, so every place of it can be clicked. */}
          {at === linkAt && href !== undefined ? (
            <a class="row-link" href={href}>
              {cell(row)}
            </a>
          ) : (
            cell(row)
          )}
        </div>
      ))}
    </div>
  );
}

interface VirtualLinesProps<Row> {
  readonly rows: readonly Row[];
  readonly head: ComponentChildren;
  readonly line: (row: Row, index: number, style: CSSProperties) => ComponentChildren;
}

function VirtualLines<Row>({ rows, head, line }: VirtualLinesProps<Row>) {
  const scroller = useRef<HTMLDivElement>(null);
  const drawn = useSignal(0);
  const virtualizer = useMemo(
    () =>
      new Virtualizer<HTMLDivElement, HTMLElement>({
        count: rows.length,
        getScrollElement: () => scroller.current,
        estimateSize: () => ROW_PX,
        overscan: 12,
        observeElementRect,
        observeElementOffset,
        scrollToFn: elementScroll,
        onChange: () => (drawn.value += 1),
      }),
    [],
  );
  virtualizer.setOptions({ ...virtualizer.options, count: rows.length });
  useEffect(() => virtualizer._didMount(), [virtualizer]);
  useEffect(() => virtualizer._willUpdate());
  void drawn.value;
  return (
    <div ref={scroller} class="scroller" style={{ "--table-height": "min(70vh, 60rem)" }}>
      {head}
      <div role="rowgroup" style={{ position: "relative", height: `${virtualizer.getTotalSize()}px` }}>
        {virtualizer.getVirtualItems().map(({ index, start }) => {
          const row = rows[index];
          return (
            row !== undefined &&
            line(row, index, {
              position: "absolute",
              inset: "0 0 auto 0",
              height: `${ROW_PX}px`,
              transform: `translateY(${start}px)`,
            })
          );
        })}
      </div>
    </div>
  );
}

/** j and k move the focus, Enter opens. Keys that an input method composes are not shortcuts. */
function moveByKey(event: KeyboardEvent, open: (index: number, element: HTMLElement | undefined) => void): void {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  if (target.matches("input, select, textarea")) return;
  const table = event.currentTarget as HTMLElement;
  const current = target.closest<HTMLElement>("[data-index]") ?? undefined;
  const at = Number(current?.dataset["index"] ?? -1);
  const step =
    event.key === "j" || event.key === "ArrowDown" ? 1 : event.key === "k" || event.key === "ArrowUp" ? -1 : 0;
  if (step !== 0) {
    event.preventDefault();
    const next = table.querySelector<HTMLElement>(`[data-index="${Math.max(0, at + step)}"]`);
    (next?.querySelector<HTMLElement>(".row-link") ?? next)?.focus();
    next?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && current && target === current) {
    open(at, current);
  }
}
