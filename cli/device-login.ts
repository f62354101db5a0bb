/** Signs in this machine by a browser elsewhere: shows a code, and waits until a person confirms it. */
import { hostname } from "node:os";
import type { DeviceToken } from "#access/api";
import { AppError } from "#base";
import type { ControlCalls } from "#client/light";
import { commandHost, type ControlAccess, withOpenCalls } from "./control-client.ts";
import { CliErrors } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/** Seconds that a device waits longer after each poll that came too early. RFC 8628. */
const SLOW_DOWN_SECONDS = 5;
/** Failed polls in a row, such as while a member restarts, before the login gives up. */
const FAILED_MAX = 10;

/** @throws DEVICE_ACCESS_DENIED, DEVICE_EXPIRED_TOKEN, CLIENT_UNREACHABLE */
export async function deviceLogin(
  settings: ControlAccess,
  { terminal, device }: { readonly terminal: Terminal; readonly device: string },
): Promise<DeviceToken> {
  return withOpenCalls(settings, async ({ deviceLogins }) => {
    const signal = terminal.stopSignal();
    const started = await deviceLogins.start({ device }, { signal });
    const { userCode, verificationPath, verificationUrl, deviceCode, intervalSeconds, expiresInSeconds } = started;
    const link = verificationUrl ?? new URL(verificationPath, settings.values.controlUrls[0]).href;
    terminal.err(
      `Open this address in any browser, sign in there, and confirm the code:\n\n  ${link}\n  code ${userCode}\n\n` +
        `waiting for up to ${expiresInSeconds / 60} minutes\n`,
    );
    return polled(deviceLogins, { deviceCode, intervalSeconds, signal });
  });
}

async function polled(
  calls: ControlCalls["deviceLogins"],
  { deviceCode, intervalSeconds, signal }: { deviceCode: string; intervalSeconds: number; signal: AbortSignal },
): Promise<DeviceToken> {
  const { clock } = commandHost();
  let seconds = intervalSeconds;
  for (let failed = 0; ;) {
    await clock.sleep(seconds * 1000, signal);
    try {
      return await calls.poll(deviceCode, { signal });
    } catch (error) {
      signal.throwIfAborted();
      const code = error instanceof AppError ? error.code : "";
      if (code === "DEVICE_SLOW_DOWN") seconds += SLOW_DOWN_SECONDS;
      const isWaiting = code === "DEVICE_SLOW_DOWN" || code === "DEVICE_AUTHORIZATION_PENDING";
      failed = isWaiting ? 0 : failed + 1;
      if (!isWaiting && !(isPassing(code) && failed <= FAILED_MAX)) throw error;
    }
  }
}

/** A member that restarts, or that has no time: another poll may succeed. */
function isPassing(code: string): boolean {
  return code === "CLIENT_UNREACHABLE" || code === "HTTP_UNAVAILABLE";
}

/** The name under which the person sees this machine. @throws CLI_ARGUMENT_INVALID */
export function deviceName(given: string | undefined): string {
  const name =
    given ??
    (hostname()
      .replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9 ._@-]/g, "")
      .slice(0, 128) ||
      "unnamed");
  if (/^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$/.test(name)) return name;
  throw CliErrors.ARGUMENT_INVALID(
    `"${name}" is not a valid name of a machine. Use letters, digits, spaces and . _ @ -; at most 128.`,
  );
}
