/** What can go wrong on the way to the control plane; what the server itself says keeps the server's code. */
import { AppError, defineErrors } from "#base";

export const ClientErrors = defineErrors("CLIENT", {
  UNREACHABLE: { status: 503, title: "Control plane unreachable" },
  BAD_ANSWER: { status: 502, title: "Answer not understood" },
  LOCK_LOST: { status: 409, title: "Lock lost" },
  CLOSED: { status: 409, title: "Client closed" },
  OPTION_INVALID: { status: 400, title: "Option not valid" },
  CONFIG_UNKNOWN: { status: 503, title: "Config not known" },
  CONFIG_OLDER: { status: 409, title: "Server knows an older config" },
  VALUE_NOT_PARSED: { status: 422, title: "Value does not parse" },
  VALUE_INVALID: { status: 422, title: "Value does not keep its schema" },
  LAST_KNOWN_GOOD_UNUSABLE: { status: 500, title: "Last-known-good file not usable" },
  LAST_KNOWN_GOOD_NOT_WRITTEN: { status: 500, title: "Last-known-good file not written" },
});

/** An RFC 9457 problem, back to the error that it was. */
export function errorFromProblem(status: number, text: string): AppError {
  try {
    const problem = JSON.parse(text) as Record<string, unknown> & { title?: string; detail?: string };
    const { type: _type, title = "", status: _status, detail = title, instance: _instance, code, ...extra } = problem;
    if (typeof code === "string") return new AppError(code, { status, title }, detail, { extra });
  } catch {
    // Not a problem document: a proxy or another program answered.
  }
  return ClientErrors.BAD_ANSWER(`Status ${status} with a body that is no problem document: ${text.slice(0, 200)}`);
}
