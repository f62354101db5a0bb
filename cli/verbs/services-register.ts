/** `posthouse services register SERVICE ID ADDRESS`: an instance that stays until it is deregistered. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Registration } from "#registry/api";
import { withNamespace } from "../namespace.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { casOption, givenOnly, secondsOption, withExamples } from "../options.ts";
import { formatDocument } from "../table.ts";
import type { VerbContext } from "../verb.ts";

interface RegisterOptions extends Record<string, unknown> {
  readonly namespace: string;
  readonly protocol?: NonNullable<Registration["protocol"]>;
  readonly tag: string[];
  readonly meta: Record<string, string>;
  readonly weight?: number;
  readonly appVersion?: string;
  readonly zone?: string;
  readonly http?: string;
  readonly tcp?: boolean;
  readonly ttl?: number;
  readonly interval?: number;
  readonly cas?: number;
  readonly dryRun?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the services")
    .addOption(
      new Option("--protocol <name>", "protocol of the port").choices([
        "http",
        "https",
        "h2c",
        "grpc",
        "grpcs",
        "tcp",
        "tls",
        "udp",
      ]),
    )
    .option("--tag <text>", "a tag; repeatable", (text, before: string[]) => [...before, text], [])
    .option("--meta <name=value>", "a field of the metadata; repeatable", pair, {})
    .option("--weight <number>", "share of the requests, 0 to 1000", casOption)
    .option("--app-version <text>", "version of its software")
    .option("--zone <name>", "zone that it runs in")
    .option("--http <path>", "check it by a GET of this path")
    .option("--tcp", "check that its port accepts connections")
    .option("--ttl <seconds>", "check that reports arrive within this time", secondsOption(86_400))
    .option("--interval <seconds>", "time between two checks", secondsOption(86_400))
    .option("--cas <revision>", "only if its revision is still this; 0: only if it does not exist", casOption)
    .option("--dry-run", "only print the registration");
  withExamples(command, [
    "posthouse services register orders orders-1 10.0.0.1:4001 --http /health",
    "posthouse services register db db-1 10.0.0.5:5432 --protocol tcp --tcp --cas 0",
  ]);
  controlAction<Registration>(
    command,
    context,
    async ({ client, args: [service = "", id = ""], options, terminal }, registration) => {
      const { namespace, cas, dryRun } = options as RegisterOptions;
      if (dryRun) return terminal.out(await formatDocument("yaml", registration));
      const name = { namespace, service, id };
      const done = await client.registry.register(name, registration, givenOnly({ ifRevision: cas }));
      terminal.out(`${service}/${id} is ${done.created ? "registered" : "replaced"} at revision ${done.revision}\n`);
    },
    ([, , address = ""], options) => registrationOf(address, options as RegisterOptions),
  );
}

function registrationOf(text: string, options: RegisterOptions): Registration {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? plain;
  if (address === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${text}" is not a valid address. Use HOST:PORT, such as 127.0.0.1:4001 or [::1]:4001.`,
    );
  }
  const { protocol, tag, meta, weight, appVersion, zone, http, tcp, ttl, interval } = options;
  const judged = interval === undefined ? {} : { intervalSeconds: interval };
  const checks: NonNullable<Registration["checks"]> = [
    ...(http === undefined ? [] : [{ id: "http", type: "http" as const, path: http, ...judged }]),
    ...(tcp ? [{ id: "tcp", type: "tcp" as const, ...judged }] : []),
    ...(ttl === undefined ? [] : [{ id: "ttl", type: "ttl" as const, ttlSeconds: ttl }]),
  ];
  return {
    address,
    port: Number(port),
    ...givenOnly({ protocol, weight, version: appVersion, zone }),
    ...(tag.length === 0 ? {} : { tags: tag }),
    ...(Object.keys(meta).length === 0 ? {} : { metadata: meta }),
    ...(checks.length === 0 ? {} : { checks }),
  };
}

function pair(text: string, before: Record<string, string>): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("It must be NAME=VALUE.");
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}
