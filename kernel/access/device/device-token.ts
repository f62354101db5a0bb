/** The token that a device receives: that of the person who confirmed it, for no longer than their own sign-in. */
import type { TokenRecord } from "../token-record.ts";

export interface DeviceGrant {
  /** Id of the token that the browser was signed in with. */
  readonly approver: string;
  readonly sha256: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly lease: string;
  readonly address: string;
  readonly device: string;
}

/** A person's token goes on without the browser; a token's own ends with it, so that revoking the token revokes everything. */
export function deviceTokenRecord(by: TokenRecord, grant: DeviceGrant): TokenRecord {
  const { approver, sha256, createdAtMs, expiresAtMs, lease, address, device } = grant;
  const person = by.signIn?.person;
  return {
    name: by.name,
    policies: by.policies,
    format: 2,
    sha256,
    createdAtMs,
    expiresAtMs,
    signIn: {
      kind: "device",
      ...(person === undefined ? { method: "token", parent: approver } : { method: "oidc", person }),
      lease,
      address,
      device,
    },
  };
}
