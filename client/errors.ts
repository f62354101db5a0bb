/** Errors of the client itself. Errors that the server reports keep the server's code. */
import { AppError, defineErrors } from "#base";

export const ClientErrors = defineErrors("CLIENT", {
  UNREACHABLE: { status: 503, title: "Control plane unreachable" },
  UNTRUSTED: { status: 502, title: "Certificate of the control plane not trusted" },
  BAD_ANSWER: { status: 502, title: "Answer not understood" },
  LOCK_LOST: { status: 409, title: "Lock lost" },
  CLOSED: { status: 409, title: "Client closed" },
  OPTION_INVALID: { status: 400, title: "Option not valid" },
  CONFIG_UNKNOWN: { status: 503, title: "Config not known" },
  CONFIG_OLDER: { status: 409, title: "Server has an older config" },
  VALUE_MASKED: { status: 403, title: "Secret is masked" },
  VALUE_NOT_PARSED: { status: 422, title: "Value does not parse" },
  VALUE_INVALID: { status: 422, title: "Value does not match its schema" },
  LAST_KNOWN_GOOD_UNUSABLE: { status: 500, title: "Last-known-good file not usable" },
  LAST_KNOWN_GOOD_NOT_WRITTEN: { status: 500, title: "Last-known-good file not written" },
  DRAIN_NOT_SEEN: { status: 504, title: "Drain not seen by every subscriber" },
  NOT_REGISTERED_YET: { status: 503, title: "Not registered yet" },
  SERVICE_URL_INVALID: { status: 400, title: "Service URL not valid" },
  SERVICE_NOT_KNOWN: { status: 503, title: "Service not known yet" },
  SERVICE_NOT_FOUND: { status: 404, title: "Service not registered" },
  SERVICE_NO_ENDPOINT: { status: 503, title: "No healthy instance" },
  SERVICE_OVERLOADED: { status: 503, title: "Every instance is at its limit" },
  SERVICE_UNREACHABLE: { status: 502, title: "Instances not reachable" },
  SERVICE_RESET: { status: 502, title: "Connection broken" },
  SERVICE_UNTRUSTED: { status: 502, title: "Certificate not trusted" },
  SERVICE_BAD_ANSWER: { status: 502, title: "Answer of the service not understood" },
  SERVICE_TIMEOUT: { status: 504, title: "Service did not answer in time" },
});

/** Turns an RFC 9457 problem back into the error that it describes. */
export function errorFromProblem(status: number, text: string): AppError {
  try {
    const problem = JSON.parse(text) as Record<string, unknown> & { title?: string; detail?: string };
    const { type: _type, title = "", status: _status, detail = title, instance: _instance, code, ...extra } = problem;
    if (typeof code === "string") return new AppError(code, { status, title }, detail, { extra });
  } catch {
    // The body is not a problem document: a proxy or another program answered.
  }
  return ClientErrors.BAD_ANSWER(
    `The answer has status ${status}, but its body is not a problem document: ${text.slice(0, 200)}`,
  );
}
