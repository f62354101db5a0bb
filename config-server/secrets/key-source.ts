/** Where the keys that wrap secrets come from. */

export interface KeySource {
  /** For people, such as `file /etc/posthouse/keys`. */
  readonly name: string;
  readonly reloadMs: number;
  /** It depends on another system: a failure at start is not fatal, and the source is read again. */
  readonly remote?: true;
  /** Undefined: there are none yet, which only a source that generates may say. @throws CONFIG_SECRET_KEYS_INVALID */
  read(): Promise<string | undefined>;
  /** Makes the first key. Absent: an operator does. */
  generate?(): Promise<void>;
}
