/** Bytes, written as base64. */
import type { ValueFormat } from "./value-format.ts";

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/;

export const binary: ValueFormat = {
  speed: 100,
  check: (value) =>
    BASE64.test(value)
      ? undefined
      : { message: "a binary value is base64 (RFC 4648 §4, with padding, without line breaks)" },
};
