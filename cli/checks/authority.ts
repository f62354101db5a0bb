/** Whether the certificate authority can issue. */
import { AppError, messageOf } from "#base";
import { withControlCalls } from "../control-client.ts";
import { dayText } from "../time-text.ts";
import type { DoctorCheck } from "./check.ts";

const FORBIDDEN = 403;

export const authority: DoctorCheck = {
  name: "authority",
  async run({ control, server }) {
    if ("problem" in (await server)) return { level: "skip", detail: "the server does not answer" };
    try {
      const {
        state,
        problem = "",
        certificates,
      } = await withControlCalls(control, ({ identity }) => identity.authority());
      if (state === "none") return { level: "skip", detail: "no certificate was needed yet" };
      if (state !== "ready") return { level: "fail", detail: problem, next: "posthouse authority" };
      const issuing = certificates.findLast((one) => one.state === "issuing");
      return { level: "ok", detail: `issues certificates until ${dayText(issuing?.expiresAt)}` };
    } catch (error) {
      if (error instanceof AppError && error.status === FORBIDDEN) {
        return { level: "skip", detail: "the token does not allow identity:read" };
      }
      return { level: "fail", detail: messageOf(error), next: "posthouse authority" };
    }
  },
};
