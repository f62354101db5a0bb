/** Where the keys that wrap secrets come from. */

export interface KeySource {
  /** For people, such as `file /etc/posthouse/keys`. */
  readonly name: string;
  readonly reloadMs: number;
  /** It asks others, so that it fails now is no reason not to start: it is asked again. */
  readonly remote?: true;
  /** Undefined: there are none yet, which only a source that generates may say. @throws CONFIG_SECRET_KEYS_INVALID */
  read(): Promise<string | undefined>;
  /** Makes the first key. Absent: an operator does. */
  generate?(): Promise<void>;
}
