/** A source of the keys that wrap data keys of secrets. */

export interface KeySource {
  /** For people, such as `file /etc/posthouse/keys`. */
  readonly name: string;
  readonly reloadMs: number;
  /** It depends on another system: a failure at start is not fatal, and the source is read again. */
  readonly remote?: true;
  /** Undefined when there are none yet, which only a source that generates keys may return. @throws CONFIG_SECRET_KEYS_INVALID */
  read(): Promise<string | undefined>;
  /** Generates the first key. Absent: an operator provides it. */
  generate?(): Promise<void>;
}
