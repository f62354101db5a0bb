/**
 * A login of a device that waits for a person, as the store keeps it: with hashes of its two codes. The device polls with the one, and
 * the person compares the other. Pure.
 */
import { hash as digest } from "node:crypto";
import { USER_CODE_LETTERS } from "../contract/device-login.ts";

/** Characters of the id of a login, which is the start of a hash. Enough that two of a few thousand never meet. */
const ID_LENGTH = 16;
const CODE_LENGTH = 8;
/** Bytes that are taken for one letter: the remainder of four bytes by twenty is even to one in a hundred million. */
const BYTES_PER_LETTER = 4;
export const USER_CODE_BYTES = CODE_LENGTH * BYTES_PER_LETTER;
const DEVICE_CODE = /^phd_([0-9a-f]{16})_([0-9a-f]{64})$/;

export interface DeviceLogin {
  /** Of the secret in the device's code. */
  readonly deviceSha256: string;
  readonly userSha256: string;
  readonly device: string;
  readonly address: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** The lease of the record. */
  readonly lease: string;
  /** Absent: a person has not decided yet. */
  readonly decision?: DeviceLoginDecision;
}

export type DeviceLoginDecision =
  | { readonly allow: false }
  /** By the holder of that token, until its session in the browser ends. */
  | { readonly allow: true; readonly tokenId: string; readonly untilMs: number };

export type DeviceLoginState = "pending" | "denied" | "allowed" | "expired";

export const sha256Of = (text: string): string => digest("sha256", text, "hex");

/** Eight letters in two groups, from as many random bytes as USER_CODE_BYTES. */
export function userCodeFrom(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const letters = Array.from({ length: CODE_LENGTH }, (_, at) => {
    const letter = view.getUint32(at * BYTES_PER_LETTER) % USER_CODE_LETTERS.length;
    return USER_CODE_LETTERS[letter] as string;
  });
  return `${letters.slice(0, CODE_LENGTH / 2).join("")}-${letters.slice(CODE_LENGTH / 2).join("")}`;
}

/** Both codes lead to the record: its id is in the one, and follows from the other. */
export function loginIdOf(userCode: string): string {
  return sha256Of(userCode).slice(0, ID_LENGTH);
}

export function deviceCodeOf(id: string, secret: string): string {
  return `phd_${id}_${secret}`;
}

export function readDeviceCode(code: string): { readonly id: string; readonly sha256: string } | undefined {
  const [, id, secret] = DEVICE_CODE.exec(code) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, sha256: sha256Of(secret) };
}

export function stateOfLogin({ expiresAtMs, decision }: DeviceLogin, nowMs: number): DeviceLoginState {
  if (nowMs >= expiresAtMs) return "expired";
  if (decision === undefined) return "pending";
  return decision.allow ? "allowed" : "denied";
}
