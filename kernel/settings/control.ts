/**
 * The settings of a command that calls the control plane, and how settings are spelled. Apart from the schema, since the package of the
 * schema costs a short command more than its call.
 */
import { defineErrors } from "#base";

export const SettingsErrors = defineErrors("SETTINGS", {
  INVALID: { status: 400, title: "Setting not valid" },
  UNKNOWN: { status: 400, title: "Setting not known" },
  FILE_UNREADABLE: { status: 400, title: "Settings file not readable" },
});

export const CONTROL_ROWS = {
  controlUrls: {
    default: ["http://127.0.0.1:8500"],
    description: "Control APIs that a gateway, an agent or a command calls.",
  },
  token: { description: "Token for those control APIs." },
  controlCaFile: {
    description: "PEM file of the authorities that those control APIs are verified by. Absent: those of the system.",
  },
  controlFingerprint: {
    description:
      "SHA-256 fingerprint, in hex, of the authority that those control APIs are verified by; `posthouse up` prints it.",
  },
} as const satisfies Record<string, { readonly default?: readonly string[]; readonly description: string }>;

/** How a setting is spelled on the command line and in the environment. */
export function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
export function envOf(name: string): string {
  return `POSTHOUSE_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** All three spellings, for errors that must say what to change. */
export function spellings(name: string): string {
  return `${flagOf(name)}, ${envOf(name)}, or "${name}" in the settings file`;
}
