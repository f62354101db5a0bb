/** The face of the client for short commands: the calls, and a transport that costs little to load. */
export { type ControlCalls, controlCalls } from "./calls/control.ts";
export { ClientErrors } from "./errors.ts";
export { httpTransport } from "./http-transport.ts";
export type { ControlTls } from "./server-trust.ts";
