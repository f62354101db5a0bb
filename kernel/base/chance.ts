/** The source of random numbers, as a parameter. */

export interface Random {
  /** A number in [0, 1). */
  float(): number;
  /** Unpredictable bytes, fit for secrets in the real host. */
  bytes(length: number): Uint8Array;
}
