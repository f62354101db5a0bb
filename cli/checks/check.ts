/** A check of `posthouse doctor`: a row of the table in checks.ts. */
import type { Settings } from "#settings";
import type { ControlSettings } from "../control-client.ts";

export interface Finding {
  readonly level: "ok" | "warn" | "fail" | "skip";
  /** The finding, with the value. */
  readonly detail: string;
  /** The remedy. */
  readonly next?: string;
}

/** The answer of the server to one call, for all checks. */
export interface ServerAnswer {
  readonly version: string;
  /** Milliseconds by which its clock is ahead of this one's. */
  readonly skewMs: number | undefined;
}

export interface CheckInputs {
  readonly settings: Readonly<Settings>;
  readonly control: ControlSettings;
  /** The server, or why it does not answer. */
  readonly server: Promise<ServerAnswer | { readonly problem: string }>;
}

export interface DoctorCheck {
  readonly name: string;
  readonly run: (inputs: CheckInputs) => Promise<Finding>;
}
