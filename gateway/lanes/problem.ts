/** A refusal as an RFC 9457 problem document. The flag goes into a header beside it. */
import type { Refuse } from "../core/pipeline.ts";

export const PROBLEM_TYPE = "application/problem+json";
export const FLAG_HEADER = "x-posthouse-flag";

export function problemText(refusal: Pick<Refuse, "code" | "title" | "status" | "detail">, path: string): string {
  return JSON.stringify({
    type: `docs/reference/errors.md#${refusal.code.toLowerCase()}`,
    title: refusal.title,
    status: refusal.status,
    detail: refusal.detail,
    ...(path === "" ? {} : { instance: path }),
    code: refusal.code,
  });
}
