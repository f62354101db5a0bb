/**
 * How the frames of a watch become a value. A snapshot is gathered separately and takes effect when it is complete, so no reader
 * sees half of one. A cold server has just started without other members and may lack data that it will have in a moment: its
 * data is combined with the known value, and replaces it once a server that is not cold confirms it.
 */

/** Rules for one kind of value. */
export interface Fold<Value, Data> {
  /** A snapshot with one more piece. It may change the snapshot that it is given. */
  gather(gathered: Value | undefined, data: Data): Value;
  /** The value after a change. The value that it is given stays as it is. */
  apply(value: Value | undefined, data: Data): Value;
  /** The value of a snapshot without a piece; undefined: such a snapshot changes nothing. */
  readonly empty: Value | undefined;
  /** The known value, overridden by that of a cold server. Absent: a cold server is treated like any other. */
  together?(known: Value, cold: Value): Value;
}

/** The part of a frame that the rules need. */
export interface FoldedFrame<Data> {
  readonly event: "snapshot" | "synced" | "delta" | "reset" | "heartbeat";
  readonly data?: Data;
  readonly cold?: boolean;
}

export class FoldedWatch<Value, Data> {
  readonly #fold: Fold<Value, Data>;
  #value: Value | undefined;
  #gathered: Value | undefined;
  /** Whether a snapshot is under way, or none has arrived yet. */
  #gathering = true;
  /** The value of a cold server alone, while its combination with the known value is in effect. */
  #cold: Value | undefined;

  /** `known`: a value from before the first frame, such as from a file. */
  constructor(fold: Fold<Value, Data>, known?: Value) {
    this.#fold = fold;
    this.#value = known;
  }

  /** The value in effect; undefined before the first complete snapshot, unless one was known. */
  get value(): Value | undefined {
    return this.#value;
  }

  /** Whether the value is that of the server at the revision of the last frame, not of an earlier snapshot. */
  get settled(): boolean {
    return !this.#gathering;
  }

  /** Whether the value in effect contains data that only an earlier server sent. */
  get holds(): boolean {
    return this.#cold !== undefined;
  }

  /** Sets the known value, unless a server has already sent one. False: it has. */
  restore(known: Value): boolean {
    if (this.#value !== undefined) return false;
    this.#value = known;
    return true;
  }

  /** Takes the next frame. Returns what changed: "all" of the value, the "data" of the frame, or nothing. */
  take({ event, data, cold = false }: FoldedFrame<Data>): "all" | "data" | undefined {
    if (event === "reset") this.#begin();
    else if (event === "snapshot") {
      if (!this.#gathering) this.#begin();
      if (data !== undefined) this.#gathered = this.#fold.gather(this.#gathered, data);
    } else if (event === "delta") return data === undefined ? undefined : this.#change(data);
    else if (event === "synced" && this.#gathering) return this.#settle(cold);
    else if (!cold && !this.#gathering && this.#cold !== undefined) {
      this.#value = this.#cold;
      this.#cold = undefined;
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
    if (this.#cold !== undefined) this.#cold = this.#fold.apply(this.#cold, data);
    return "data";
  }

  #settle(cold: boolean): "all" | undefined {
    const whole = this.#gathered ?? this.#fold.empty;
    this.#gathering = false;
    this.#gathered = undefined;
    if (whole === undefined) return undefined;
    const both = cold && this.#value !== undefined ? this.#fold.together?.(this.#value, whole) : undefined;
    this.#cold = both === undefined ? undefined : whole;
    this.#value = both ?? whole;
    return "all";
  }
}
