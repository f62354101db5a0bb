/**
 * Logins of devices without a browser: the device asks, a person confirms in a browser that is signed in, and the device receives a
 * token of that person. Everything is in the store, so each step may reach another member.
 */
import { timingSafeEqual } from "node:crypto";
import { decodeJson, encodeJson, randomId, type Host } from "#base";
import { type BrowserSession, HttpErrors } from "#http";
import { commit, type Store } from "#store";
import {
  DEVICE_LOGIN_SECONDS,
  DEVICE_POLL_SECONDS,
  DeviceErrors,
  type DeviceLoginInfo,
  type DeviceLoginStarted,
  type DeviceToken,
} from "../api.ts";
import {
  type DeviceLogin,
  deviceCodeOf,
  type DeviceLoginDecision,
  loginIdOf,
  readDeviceCode,
  sha256Of,
  stateOfLogin,
  USER_CODE_BYTES,
  userCodeFrom,
} from "../core/device-login.ts";
import { type TokenRecord, tokenRecord, TOKENS_PREFIX } from "../token-record.ts";
import { deviceTokenRecord } from "./device-token.ts";
import { PollPace } from "./poll-pace.ts";

const LOGINS_PREFIX = "/access/device-logins/";
/** Random bytes of the id of a token, and of a secret. */
const ID_BYTES = 8;
const SECRET_BYTES = 32;
/** Logins that wait at once in a control plane. More are strangers, who would otherwise fill the store. */
const WAITING_MAX = 1_000;
/** Store transactions at once for callers that are still unknown. */
const UNKNOWN_MAX = 16;
/** Seconds for which the store keeps a login beyond its end, so that a device learns that it expired. */
const KEPT_SECONDS = 60;
const CONSOLE_PAGE = "/ui/device";

/** A login that was found by its code. */
interface FoundLogin {
  readonly id: string;
  readonly login: DeviceLogin;
}

export class DeviceLogins {
  readonly #host: Host;
  readonly #store: Store;
  readonly #pace: PollPace;
  #unknown = 0;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.#pace = new PollPace(host.clock);
  }

  /** A new login, which waits for a person. @throws DEVICE_TOO_MANY, HTTP_UNAVAILABLE */
  async start({ device, address }: Pick<DeviceLogin, "device" | "address">): Promise<DeviceLoginStarted> {
    return this.#forUnknown(async () => {
      const { count } = await this.#store.range({ prefix: LOGINS_PREFIX, limit: 1 });
      if (count >= WAITING_MAX) throw tooMany(`${WAITING_MAX} logins wait for a decision already.`);
      const userCode = userCodeFrom(this.#host.random.bytes(USER_CODE_BYTES));
      const secret = randomId(this.#host.random, SECRET_BYTES);
      const id = loginIdOf(userCode);
      const { id: lease } = await this.#store.grant(DEVICE_LOGIN_SECONDS + KEPT_SECONDS);
      const createdAtMs = this.#host.clock.now();
      const login: DeviceLogin = {
        deviceSha256: sha256Of(secret),
        userSha256: sha256Of(userCode),
        device,
        address,
        createdAtMs,
        expiresAtMs: createdAtMs + DEVICE_LOGIN_SECONDS * 1000,
        lease,
      };
      const key = `${LOGINS_PREFIX}${id}`;
      await commit(this.#store, [{ key }], (known) => {
        // One in billions: two codes with the same id. The device tries again.
        if (known.has(key)) throw HttpErrors.UNAVAILABLE("The code is taken. Try again.");
        return { writes: [{ type: "put", key, value: encodeJson(login), lease }], result: undefined };
      });
      this.#host.log.info({ login: id, device, address }, "device asks to sign in");
      return {
        deviceCode: deviceCodeOf(id, secret),
        userCode,
        verificationPath: `${CONSOLE_PAGE}?code=${userCode}`,
        expiresInSeconds: DEVICE_LOGIN_SECONDS,
        intervalSeconds: DEVICE_POLL_SECONDS,
      };
    });
  }

  /** A login that waits for a decision, for the person who decides. @throws DEVICE_NOT_FOUND */
  async info(userCode: string, untilMs: number): Promise<DeviceLoginInfo> {
    const { login } = await this.#waiting(userCode);
    const at = (ms: number) => new Date(ms).toISOString();
    const { device, address, createdAtMs, expiresAtMs } = login;
    return { userCode, device, address, since: at(createdAtMs), expiresAt: at(expiresAtMs), until: at(untilMs) };
  }

  /** Decides about a login, once. @throws DEVICE_NOT_FOUND, DEVICE_NOT_ALLOWED */
  async decide(userCode: string, { principal, expiresAtMs }: BrowserSession, allow: boolean): Promise<void> {
    const { tokenId } = principal;
    if (tokenId === undefined) throw DeviceErrors.NOT_ALLOWED(`"${principal.name}" did not sign in by a stored token.`);
    const found = await this.#waiting(userCode);
    const key = `${LOGINS_PREFIX}${found.id}`;
    const tokenKey = `${TOKENS_PREFIX}${tokenId}`;
    const decision: DeviceLoginDecision = allow ? { allow: true, tokenId, untilMs: expiresAtMs } : { allow: false };
    await commit(this.#store, [{ key }, { key: tokenKey }], (known) => {
      const login = readLogin(known.get(key));
      const token = known.get(tokenKey);
      if (!login || stateOfLogin(login, this.#host.clock.now()) !== "pending") throw notWaiting(userCode);
      if (!token) throw HttpErrors.SESSION_INVALID("The session was ended. Sign in again.");
      requireMayConfirm(tokenRecord(decodeJson(token.value)));
      const value = encodeJson({ ...login, decision });
      return { writes: [{ type: "put", key, value, lease: login.lease }], result: undefined };
    });
    const { device, address } = found.login;
    this.#host.log.info({ login: found.id, device, address, by: principal.name, allow }, "login of a device decided");
  }

  /** The token of a confirmed login, once. @throws the codes of RFC 8628 as DEVICE_, HTTP_UNAVAILABLE */
  async poll(deviceCode: string, address: string): Promise<DeviceToken> {
    const code = readDeviceCode(deviceCode);
    if (!code) throw expired();
    return this.#forUnknown(async () => {
      const login = await this.#read(code.id);
      if (!login || !isSame(login.deviceSha256, code.sha256)) throw expired();
      const state = stateOfLogin(login, this.#host.clock.now());
      if (state === "expired") throw expired();
      const waitSeconds = this.#pace.tooEarly(code.id);
      if (waitSeconds !== undefined) {
        throw DeviceErrors.SLOW_DOWN(`Polled too early. Wait ${waitSeconds} s between two polls.`, {
          extra: { error: "slow_down", intervalSeconds: waitSeconds },
        });
      }
      if (state === "pending") {
        throw DeviceErrors.AUTHORIZATION_PENDING("The login is not confirmed yet. Poll again.", {
          extra: { error: "authorization_pending" },
        });
      }
      this.#pace.forget(code.id);
      return this.#exchange({ id: code.id, login }, address);
    });
  }

  /** Uses up a decision. @throws DEVICE_ACCESS_DENIED, DEVICE_EXPIRED_TOKEN when another poll was first */
  async #exchange({ id, login }: FoundLogin, address: string): Promise<DeviceToken> {
    const key = `${LOGINS_PREFIX}${id}`;
    const { decision } = login;
    if (!decision?.allow) {
      await this.#store.txn({ then: [{ type: "delete", key }] });
      throw denied("The person who was asked denied the login.");
    }
    const { tokenId: approver, untilMs } = decision;
    const nowMs = this.#host.clock.now();
    const { id: lease } = await this.#store.grant(Math.max(1, Math.ceil((untilMs - nowMs) / 1000)));
    const secret = randomId(this.#host.random, SECRET_BYTES);
    const tokenId = randomId(this.#host.random, ID_BYTES);
    const approverKey = `${TOKENS_PREFIX}${approver}`;
    const { result } = await commit(this.#store, [{ key }, { key: approverKey }], (known) => {
      if (!known.has(key)) throw expired();
      const by = known.get(approverKey);
      if (!by || nowMs >= untilMs) throw denied("The person who confirmed the login has signed out since.");
      const record = deviceTokenRecord(tokenRecord(decodeJson(by.value)), {
        approver,
        sha256: sha256Of(secret),
        createdAtMs: nowMs,
        expiresAtMs: untilMs,
        lease,
        address,
        device: login.device,
      });
      const put = { type: "put", key: `${TOKENS_PREFIX}${tokenId}`, value: encodeJson(record), lease } as const;
      return { writes: [{ type: "delete", key }, put], result: record };
    });
    const { name } = result;
    this.#host.log.info({ login: id, tokenId, name, device: login.device, address }, "device signed in");
    return { token: `ph_${tokenId}_${secret}`, tokenId, name, expiresAt: new Date(untilMs).toISOString() };
  }

  /** @throws DEVICE_NOT_FOUND */
  async #waiting(userCode: string): Promise<FoundLogin> {
    const id = loginIdOf(userCode);
    const login = await this.#read(id);
    const isIt = login !== undefined && isSame(login.userSha256, sha256Of(userCode));
    if (!isIt || stateOfLogin(login, this.#host.clock.now()) !== "pending") throw notWaiting(userCode);
    return { id, login };
  }

  async #read(id: string): Promise<DeviceLogin | undefined> {
    const { entries } = await this.#store.range({ key: `${LOGINS_PREFIX}${id}` });
    return readLogin(entries[0]);
  }

  /** @throws HTTP_UNAVAILABLE */
  async #forUnknown<T>(work: () => Promise<T>): Promise<T> {
    if (this.#unknown >= UNKNOWN_MAX) throw HttpErrors.UNAVAILABLE("Too many logins at once. Try again shortly.");
    this.#unknown += 1;
    try {
      return await work();
    } finally {
      this.#unknown -= 1;
    }
  }
}

/** A device that was confirmed with a token cannot confirm the next one. A person may, since each ends with their own sign-in. */
function requireMayConfirm({ name, signIn }: TokenRecord): void {
  if (signIn === undefined || signIn.person !== undefined) return;
  throw DeviceErrors.NOT_ALLOWED(
    `"${name}" signed in by the token of another device, and such a token cannot confirm a further device. Sign in by your own token.`,
  );
}

function readLogin(entry: { readonly value: Uint8Array } | undefined): DeviceLogin | undefined {
  return entry && decodeJson<DeviceLogin>(entry.value);
}

function isSame(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a, "hex"), Buffer.from(b, "hex"));
}

export function tooMany(what: string) {
  return DeviceErrors.TOO_MANY(`${what} Try again in a few minutes, or sign in by a token: posthouse login --token -`);
}

function notWaiting(userCode: string) {
  return DeviceErrors.NOT_FOUND(
    `No login with the code ${userCode} waits for a decision. It is mistyped, was decided, or is older than ${DEVICE_LOGIN_SECONDS / 60} minutes.`,
  );
}

function expired() {
  return DeviceErrors.EXPIRED_TOKEN(
    `The login is unknown, was used, or is older than ${DEVICE_LOGIN_SECONDS / 60} minutes. Start again: posthouse login`,
    { extra: { error: "expired_token" } },
  );
}

function denied(why: string) {
  return DeviceErrors.ACCESS_DENIED(`${why} Start again if that was a mistake: posthouse login`, {
    extra: { error: "access_denied" },
  });
}
