/** Checks of the control plane: whether it answers, its version and clock, and the token of this command. */
import { AppError, messageOf } from "#base";
import { withControlCalls, type ControlSettings } from "../control-client.ts";
import { VERSION } from "#server/version";
import type { CheckInputs, DoctorCheck, Finding, ServerAnswer } from "./check.ts";

/** Milliseconds of skew: tokens and leases have seconds, and the server's date has whole ones. */
const SKEW_MS = { warn: 2_500, fail: 30_000 } as const;
/** Days before the end of a token or certificate at which a person should renew it. */
export const EXPIRY_DAYS = 14;
const DAY_MS = 86_400_000;

/** Asks the server once. It needs no token for that. */
export async function askServer({ values }: ControlSettings): Promise<ServerAnswer | { readonly problem: string }> {
  try {
    return await withControlCalls({ values: { ...values, token: values.token ?? "none" } }, async ({ system }) => {
      const begun = Date.now();
      const { body, header } = await system.answer<{ version?: string }>("GET", "/");
      const date = Date.parse(header("date") ?? "");
      const here = (begun + Date.now()) / 2;
      return { version: body.version ?? "unknown", skewMs: Number.isNaN(date) ? undefined : date + 500 - here };
    });
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/** For checks that need an answer of the server. */
async function withServer(inputs: CheckInputs, check: (answer: ServerAnswer) => Finding): Promise<Finding> {
  const answer = await inputs.server;
  return "problem" in answer ? { level: "skip", detail: "the server does not answer" } : check(answer);
}

export const server: DoctorCheck = {
  name: "server",
  async run({ control, server }) {
    const answer = await server;
    const urls = control.values.controlUrls.join(", ");
    if (!("problem" in answer)) return { level: "ok", detail: `${urls} answers` };
    return { level: "fail", detail: answer.problem, next: "posthouse up, or posthouse context show for the URL" };
  },
};

export const readiness: DoctorCheck = {
  name: "ready",
  async run({ control, server }) {
    if ("problem" in (await server)) return { level: "skip", detail: "the server does not answer" };
    try {
      await withControlCalls({ values: { ...control.values, token: control.values.token ?? "none" } }, ({ system }) =>
        system.ready(),
      );
      return { level: "ok", detail: "the server is ready" };
    } catch (error) {
      return { level: "fail", detail: messageOf(error), next: "posthouse status; the server's log has the cause" };
    }
  },
};

export const version: DoctorCheck = {
  name: "version",
  run: (inputs) =>
    withServer(inputs, ({ version }) =>
      version === VERSION
        ? { level: "ok", detail: `${VERSION}, here and at the server` }
        : {
            level: "warn",
            detail: `${VERSION} here, ${version} at the server`,
            next: "install the server's version here",
          },
    ),
};

export const clock: DoctorCheck = {
  name: "clock",
  run: (inputs) =>
    withServer(inputs, ({ skewMs }) => {
      if (skewMs === undefined) return { level: "skip", detail: "the server does not state its time" };
      const detail = `the server's clock differs by ${(Math.abs(skewMs) / 1000).toFixed(1)} s`;
      const next = "synchronize both clocks, such as by chrony";
      if (Math.abs(skewMs) > SKEW_MS.fail) return { level: "fail", detail, next };
      return Math.abs(skewMs) > SKEW_MS.warn
        ? { level: "warn", detail, next }
        : { level: "ok", detail: "equal to the server's" };
    }),
};

export const token: DoctorCheck = {
  name: "token",
  async run({ control, server }) {
    const { token: value } = control.values;
    if ("problem" in (await server)) return { level: "skip", detail: "the server does not answer" };
    const next = "posthouse login --token -";
    if (value === undefined) return { level: "fail", detail: "no token is set", next };
    try {
      return await withControlCalls(control, async ({ registry, access }) => {
        await registry.members();
        const tokens = await access.tokens().catch((error: unknown) => {
          if (error instanceof AppError && error.status === 403) return undefined;
          throw error;
        });
        const own = tokens?.tokens.find(({ id }) => value.startsWith(`ph_${id}_`));
        if (!own) return { level: "ok", detail: `accepted (${control.sources.token})` };
        const days = own.expiresAt === undefined ? Infinity : (Date.parse(own.expiresAt) - Date.now()) / DAY_MS;
        const detail = `${own.policies.join(", ")} "${own.name}", ${own.expiresAt === undefined ? "without an end" : `until ${own.expiresAt}`}`;
        return days < EXPIRY_DAYS
          ? { level: "warn", detail, next: `posthouse token create ${own.name} --policy ${own.policies.join(" ")}` }
          : { level: "ok", detail };
      });
    } catch (error) {
      return { level: "fail", detail: messageOf(error), next };
    }
  },
};
