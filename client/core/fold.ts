/**
 * How the frames of a watch become a value. A snapshot is gathered aside and takes effect when it is whole, so no reader
 * sees half of one. A cold server has just started without others and may lack much of what it will know in a moment:
 * what it says takes effect beside what was known, and alone once a server that is not cold confirms it.
 */

/** Rules for one kind of value. */
export interface Fold<Value, Data> {
  /** A snapshot with one more piece. It may change the snapshot that it is given. */
  gather(gathered: Value | undefined, data: Data): Value;
  /** The value after a change. The value that it is given stays as it is. */
  apply(value: Value | undefined, data: Data): Value;
  /** The value of a snapshot without a piece; undefined: such a snapshot says nothing. */
  readonly empty: Value | undefined;
  /** What was known, and over it what a cold server says. Absent: a cold server is believed like any other. */
  together?(known: Value, said: Value): Value;
}

/** As much of a frame as the rules need. */
export interface FoldedFrame<Data> {
  readonly event: "snapshot" | "synced" | "delta" | "reset" | "heartbeat";
  readonly data?: Data;
  readonly cold?: boolean;
}

export class FoldedWatch<Value, Data> {
  readonly #fold: Fold<Value, Data>;
  #value: Value | undefined;
  #gathered: Value | undefined;
  /** A snapshot is on its way, or none has come yet. */
  #gathering = true;
  /** What a cold server says by itself, while it takes effect beside what was known. */
  #said: Value | undefined;

  /** `known`: from before the first frame, such as from a file. */
  constructor(fold: Fold<Value, Data>, known?: Value) {
    this.#fold = fold;
    this.#value = known;
  }

  /** What takes effect; undefined before the first whole snapshot, unless something was known. */
  get value(): Value | undefined {
    return this.#value;
  }

  /** Whether the value is the server's at the revision of the last frame, and not of an earlier snapshot. */
  get settled(): boolean {
    return !this.#gathering;
  }

  /** Whether something takes effect that only an earlier server said. */
  get holds(): boolean {
    return this.#said !== undefined;
  }

  /** Sets what was known before, unless a server was heard. False: it was. */
  restore(known: Value): boolean {
    if (this.#value !== undefined) return false;
    this.#value = known;
    return true;
  }

  /** Takes the next frame. The answer is what changed: "all" of the value, the "data" of the frame, or nothing. */
  take({ event, data, cold = false }: FoldedFrame<Data>): "all" | "data" | undefined {
    if (event === "reset") this.#begin();
    else if (event === "snapshot") {
      if (!this.#gathering) this.#begin();
      if (data !== undefined) this.#gathered = this.#fold.gather(this.#gathered, data);
    } else if (event === "delta") return data === undefined ? undefined : this.#change(data);
    else if (event === "synced" && this.#gathering) return this.#settle(cold);
    else if (!cold && !this.#gathering && this.#said !== undefined) {
      this.#value = this.#said;
      this.#said = undefined;
      return "all";
    }
    return undefined;
  }

  #begin(): void {
    this.#gathering = true;
    this.#gathered = undefined;
  }

  #change(data: Data): "data" | undefined {
    if (this.#gathering) {
      this.#gathered = this.#fold.gather(this.#gathered, data);
      return undefined;
    }
    this.#value = this.#fold.apply(this.#value, data);
    if (this.#said !== undefined) this.#said = this.#fold.apply(this.#said, data);
    return "data";
  }

  #settle(cold: boolean): "all" | undefined {
    const whole = this.#gathered ?? this.#fold.empty;
    this.#gathering = false;
    this.#gathered = undefined;
    if (whole === undefined) return undefined;
    const both = cold && this.#value !== undefined ? this.#fold.together?.(this.#value, whole) : undefined;
    this.#said = both === undefined ? undefined : whole;
    this.#value = both ?? whole;
    return "all";
  }
}
