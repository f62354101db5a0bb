/** Codes of a login of a device, and its states. */
import { expect, test } from "vitest";
import {
  deviceCodeOf,
  type DeviceLogin,
  loginIdOf,
  readDeviceCode,
  sha256Of,
  stateOfLogin,
  userCodeFrom,
} from "../../../kernel/access/core/device-login.ts";

test("a user's code has two groups of letters that are hard to confuse, and follows the random bytes", () => {
  const zero = new Uint8Array(32);
  expect(userCodeFrom(zero)).toBe("BBBB-BBBB");
  const bytes = Uint8Array.from({ length: 32 }, (_, at) => (at % 4 === 3 ? at >> 2 : 0));
  expect(userCodeFrom(bytes)).toBe("BCDF-GHJK");
  expect(userCodeFrom(new Uint8Array(32).fill(255))).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
});

test("both codes lead to one login, and the device's proves its secret", () => {
  const id = loginIdOf("BCDF-GHJK");
  expect(id).toMatch(/^[0-9a-f]{16}$/);
  const secret = "0f".repeat(32);
  expect(readDeviceCode(deviceCodeOf(id, secret))).toEqual({ id, sha256: sha256Of(secret) });
  for (const code of [
    "",
    `phd_${id}_`,
    `ph_${id}_${secret}`,
    deviceCodeOf(id, secret).toUpperCase(),
    ` ${deviceCodeOf(id, secret)}`,
  ]) {
    expect(readDeviceCode(code), code).toBeUndefined();
  }
});

test("a login is pending, then decided, and in the end expired whatever was decided", () => {
  const login: DeviceLogin = {
    deviceSha256: "",
    userSha256: "",
    device: "web-1",
    address: "127.0.0.1",
    createdAtMs: 0,
    expiresAtMs: 100,
    lease: "1",
  };
  expect(stateOfLogin(login, 99)).toBe("pending");
  expect(stateOfLogin(login, 100)).toBe("expired");
  expect(stateOfLogin({ ...login, decision: { allow: false } }, 99)).toBe("denied");
  const allowed: DeviceLogin = { ...login, decision: { allow: true, tokenId: "1", untilMs: 1_000 } };
  expect(stateOfLogin(allowed, 99)).toBe("allowed");
  expect(stateOfLogin(allowed, 100)).toBe("expired");
});
