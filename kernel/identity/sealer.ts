/** Seals the keys of the authority. The composition root makes one of the keys for secrets. */
export interface Sealer {
  /** A sealed text can be opened with the same context only, so it cannot be moved. @throws AppError without a key to seal with */
  seal(plain: Uint8Array, context: string): Promise<string>;
  /** @throws AppError when its key is not here, or the text was changed or moved */
  open(sealed: string, context: string): Promise<Uint8Array>;
  /** Whether it is sealed with the key that seals now. Others are sealed again. */
  isCurrent(sealed: string): boolean;
  /** Calls the listener when the keys have changed. */
  onChange(listener: () => void): void;
}
