/** Errors that prevent a server from starting or running. Each detail names the setting and what to do. */
import { defineErrors } from "#base";

export const ServerErrors = defineErrors("SERVER", {
  PORT_IN_USE: { status: 500, title: "Port in use" },
  ADDRESS_UNAVAILABLE: { status: 500, title: "Address not available" },
  SETTINGS_CONFLICT: { status: 400, title: "Conflicting settings" },
  PLAINTEXT: { status: 400, title: "Would cross the network without TLS" },
  TLS_NOT_SUPPORTED: { status: 400, title: "TLS not supported here yet" },
  START_TIMEOUT: { status: 503, title: "Not ready in time" },
});
