/**
 * Sign-in of a device, such as a command line on a server without a browser: shapes and DEVICE_ codes. The answers to polls are those of
 * RFC 8628, as codes of problems.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Seconds in which a person must confirm: time to open a browser and to sign in there. */
export const DEVICE_LOGIN_SECONDS = 600;
/** Seconds between two polls. */
export const DEVICE_POLL_SECONDS = 2;
/** Seconds that a device must wait longer after each poll that came too early. RFC 8628. */
export const DEVICE_SLOW_DOWN_SECONDS = 5;

/** Letters that are hard to confuse, and form no words. RFC 8628, section 6.1. */
export const USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ";

export const DeviceErrors = defineErrors("DEVICE", {
  AUTHORIZATION_PENDING: { status: 400, title: "Not confirmed yet" },
  SLOW_DOWN: { status: 400, title: "Polled too early" },
  EXPIRED_TOKEN: { status: 400, title: "Login expired, was used, or is unknown" },
  ACCESS_DENIED: { status: 400, title: "Login denied" },
  NOT_FOUND: { status: 404, title: "No such login waits for a decision" },
  NOT_ALLOWED: { status: 403, title: "Caller cannot confirm a login" },
  NOT_A_LOGIN: { status: 409, title: "Token not made by a login" },
  TOO_MANY: { status: 429, title: "Too many logins wait for a decision" },
});

export const DeviceLoginRequest = Type.Object(
  {
    device: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$",
      description: "Name of the machine, for the person who confirms.",
    }),
  },
  { additionalProperties: false },
);
export type DeviceLoginRequest = Static<typeof DeviceLoginRequest>;

export const DeviceLoginStarted = Type.Object({
  deviceCode: Type.String({ description: "The secret to poll with. Shown only in this response." }),
  userCode: Type.String({ description: "The code that the person compares, such as `BCDF-GHJK`." }),
  verificationPath: Type.String({ description: "Page of the console that confirms, with the code." }),
  verificationUrl: Type.Optional(
    Type.String({ description: "The page at the address that browsers use (setting publicUrl)." }),
  ),
  expiresInSeconds: Type.Integer(),
  intervalSeconds: Type.Integer({ description: "Time between two polls." }),
});
export type DeviceLoginStarted = Static<typeof DeviceLoginStarted>;

export const UserCode = Type.String({
  pattern: `^[${USER_CODE_LETTERS}]{4}-[${USER_CODE_LETTERS}]{4}$`,
  description: "The code that the device shows.",
});

export const DeviceLoginInfo = Type.Object({
  userCode: UserCode,
  device: Type.String({ description: "Name of the machine, as it gave it." }),
  address: Type.String({ description: "Address that the request came from." }),
  since: Type.String({ format: "date-time" }),
  expiresAt: Type.String({ format: "date-time" }),
  until: Type.String({ format: "date-time", description: "When the token ends that confirming gives to the device." }),
});
export type DeviceLoginInfo = Static<typeof DeviceLoginInfo>;

export const DeviceDecision = Type.Object({ allow: Type.Boolean() }, { additionalProperties: false });
export type DeviceDecision = Static<typeof DeviceDecision>;

export const DevicePoll = Type.Object(
  { deviceCode: Type.String({ minLength: 1, maxLength: 256 }) },
  { additionalProperties: false },
);
export type DevicePoll = Static<typeof DevicePoll>;

export const DeviceToken = Type.Object({
  token: Type.String({ description: "Shown only in this response." }),
  tokenId: Type.String(),
  name: Type.String({ description: "The person." }),
  expiresAt: Type.String({ format: "date-time" }),
});
export type DeviceToken = Static<typeof DeviceToken>;
