/** Bytes, written as base64. */
import type { ValueReader } from "./reader.ts";

export const binary: ValueReader = {
  read(text): Uint8Array {
    const packed = text.replaceAll(/\s/g, "");
    if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) throw new Error("it is not valid base64");
    return Uint8Array.from(Buffer.from(packed, "base64"));
  },
};
