/** Why a port cannot be opened, as an error that names the setting. */
import { messageOf } from "#base";
import { ServerErrors } from "./api.ts";

/** The system's refusal to listen. Other errors are returned unchanged. `setting`: how the port is set, for people. */
export function listenError(error: unknown, address: string, setting: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") {
    return ServerErrors.PORT_IN_USE(
      `${address} is in use by another program. Stop that program, or choose another port with ${setting}.`,
      { cause: error },
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "EACCES" || code === "ENOTFOUND") {
    return ServerErrors.ADDRESS_UNAVAILABLE(
      `Cannot listen on ${address}: ${messageOf(error)}. Choose another address with ${setting}.`,
      { cause: error },
    );
  }
  return error;
}
