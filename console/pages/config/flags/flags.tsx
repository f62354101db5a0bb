/** TEMP */
import type { ConfigSet } from "../use-set.ts";
export default function FlagsView(_: { readonly set: ConfigSet }) {
  return null;
}
