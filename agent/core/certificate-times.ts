/** When a certificate is valid, and when it is renewed. Pure. */

export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Renewals begin around half the life of a certificate, so that hosts that joined together do not all renew at once. */
const RENEW_SHARE = 0.5;
const JITTER_SHARE = 0.1;

/** The time of the renewal. `chance` is between 0 and 1, and stays the same for one certificate. */
export function renewalMs({ fromMs, untilMs }: Validity, chance: number): number {
  return fromMs + (untilMs - fromMs) * (RENEW_SHARE + JITTER_SHARE * (chance - 0.5));
}

export type CertificateStanding = "valid" | "ended" | "not-yet-valid";

export function standingAt({ fromMs, untilMs }: Validity, nowMs: number): CertificateStanding {
  if (nowMs < fromMs) return "not-yet-valid";
  return nowMs < untilMs ? "valid" : "ended";
}
