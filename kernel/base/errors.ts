/**
 * Errors as rows of a table. A row is the class, the stable code, the HTTP status, the title and a line of the
 * reference. The code that throws adds the detail: what is wrong, and what to do. Callers branch on `code`, never on text.
 */
import { setOwn } from "./own.ts";

export interface ErrorRow {
  /** HTTP status, when the error reaches a wire. */
  readonly status: number;
  readonly title: string;
}

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Members beside the detail that callers may act on, such as `{ field: "/port" }`. They appear on the wire. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: string, row: ErrorRow, detail: string, options: AppErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = row.status;
    this.title = row.title;
    this.extra = options.extra ?? {};
  }
}

/** Makes one error: `RegistryErrors.INSTANCE_NOT_FOUND("No instance …")`. */
export interface ErrorFactory extends ErrorRow {
  (detail: string, options?: AppErrorOptions): AppError;
  readonly code: string;
  /** Whether `error` is of this row, here or across a wire. */
  is(error: unknown): error is AppError;
}

export type ErrorTable<Rows extends Record<string, ErrorRow>> = { readonly [Key in keyof Rows]: ErrorFactory };

const defined = new Map<string, ErrorFactory>();

/** Every row of the tables that this process has loaded, by code: it can throw no other. */
export function errorRows(): ReadonlyMap<string, ErrorFactory> {
  return defined;
}

/** Turns rows into factories; the code on the wire is `PREFIX_KEY`. */
export function defineErrors<Rows extends Record<string, ErrorRow>>(prefix: string, rows: Rows): ErrorTable<Rows> {
  const table: Record<string, ErrorFactory> = {};
  for (const [key, row] of Object.entries(rows)) {
    const code = `${prefix}_${key}`;
    const make = (detail: string, options?: AppErrorOptions) => new AppError(code, row, detail, options);
    const factory = Object.assign(make, {
      code,
      status: row.status,
      title: row.title,
      is: (error: unknown): error is AppError => error instanceof AppError && error.code === code,
    });
    setOwn(table, key, factory);
    defined.set(code, factory);
  }
  return table as ErrorTable<Rows>;
}

/** The message of anything thrown, for logs and details. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
