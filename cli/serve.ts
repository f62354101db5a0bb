/** Runs a server until a signal stops it: prints its addresses, and shuts down in order. */
import { type Host, messageOf } from "#base";
import { surviveDefects, systemHost } from "#base/system";
import { createServer, type Server, VERSION } from "#server";
import type { LoadedSettings, SettingName } from "#settings";

/** Milliseconds that a stop may take beyond the gateway's drain, before the process exits anyway. */
const STOP_MS_MAX = 15_000;

/**
 * Returns the exit code: 0 after an orderly stop. Failures at run time are retried or shown by /readyz; none ends the process.
 * @throws AppError when the server does not start
 */
export async function serve(settings: LoadedSettings, options: { demo: boolean }): Promise<number> {
  const { values } = settings;
  const host = systemHost(values);
  using _survive = surviveDefects(host);
  const stop = stopRequested();
  host.log.info({ version: VERSION, node: process.version, settings: chosen(settings) }, "starting");
  {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await createServer(host, values));
    announce(server, values.data, await signInUrl(host, server));
    if (options.demo) {
      const { startDemo } = await import("#demo");
      stack.use(await startDemo(host, server));
    }
    await stop;
    say("stopping; press Ctrl-C again to stop at once");
    setTimeout(() => process.exit(1), values.gatewayDrainSeconds * 1000 + STOP_MS_MAX).unref();
  }
  say("stopped");
  return 0;
}

/** The settings that are not the defaults, without secrets. */
function chosen({ shown, sources }: LoadedSettings): Record<string, unknown> {
  const entries = Object.entries(shown).filter(([name]) => sources[name as SettingName] !== "default");
  return Object.fromEntries(entries);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/**
 * The address that signs in a browser, for the person at the terminal, and at the first start, which prints a token anyway. Other starts
 * print none, because the output of a service goes into a log that others read.
 */
async function signInUrl(host: Host, server: Server): Promise<string | undefined> {
  if (server.firstToken === undefined && !process.stdout.isTTY) return undefined;
  try {
    return await server.signInUrl();
  } catch (error) {
    // The server runs, and `posthouse console` makes a link later.
    host.log.warn({ err: error }, `no sign-in link was made: ${messageOf(error)}`);
    return undefined;
  }
}

/** Prints everything in one write, so that a reader of a pipe receives it as a whole. */
function announce({ addresses, firstToken, outside }: Server, data: string, signIn: string | undefined): void {
  const rows: [string, string | undefined][] = [
    ["control API", addresses.controlApi],
    ["fingerprint", outside?.fingerprint && `${outside.fingerprint} (of its certificate authority)`],
    ["console", addresses.console],
    ["sign in", signIn && `${signIn} (one use, 10 minutes)`],
    ["gateway", addresses.gateway],
    ["gateway, TLS", addresses.gatewayTls],
    ["agent", addresses.agent],
    ["agent, local", addresses.agentSocket],
    ["DNS", addresses.dns],
    ["operations", addresses.operations],
    ["data", data],
  ];
  const lines = [`posthouse ${VERSION} is up`];
  for (const [name, value] of rows) if (value !== undefined) lines.push(`  ${name.padEnd(14)}${value}`);
  if (outside) lines.push("", ...howToJoin(outside));
  if (firstToken !== undefined) {
    lines.push("", "  operator token, shown only once and stored as a hash:", `  ${firstToken}`);
  }
  say([...lines, ""].join("\n"));
}

/** The commands for another machine. A join token contains the fingerprint. */
function howToJoin({ url, fingerprint }: NonNullable<Server["outside"]>): string[] {
  const pin = fingerprint === undefined ? "" : ` --fingerprint ${fingerprint}`;
  return [
    "  on another machine, a person signs in, and an agent joins with a token of `posthouse join-token create`:",
    `  posthouse login --control-urls ${url}${pin} --token -`,
    `  posthouse agent join ${url} --join-token TOKEN`,
  ];
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const ask = () => {
      if (asked) process.exit(130);
      asked = true;
      resolve();
    };
    process.on("SIGINT", ask);
    process.on("SIGTERM", ask);
  });
}
