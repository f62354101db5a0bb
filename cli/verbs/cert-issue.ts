/**
 * `posthouse cert issue SERVICE`: makes a key here, and gets a certificate for it. With `--csr`, the key is elsewhere, and the certificate
 * goes to standard output.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { messageOf } from "#base";
import { CERTIFICATE_SECONDS, type CertificateRequest } from "#identity/api";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { withNamespace } from "../namespace.ts";
import { givenOnly, type GivenOptions, secondsOption, withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

/** Only the user may read the key. */
const MODE = { file: 0o600, folder: 0o700 } as const;

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the service")
    .option("--csr <file>", "a signing request in PEM instead of a service; - for standard input")
    .option("--dns <names...>", "DNS names in the certificate")
    .option("--ips <addresses...>", "IP addresses in the certificate")
    .option("--ttl-seconds <seconds>", "life of the certificate; absent: a day", secondsOption(CERTIFICATE_SECONDS))
    .option("--to <folder>", "folder for key.pem, certificate.pem and bundle.pem (default: the service's name)");
  withExamples(command, [
    "posthouse cert issue orders --to /etc/orders/tls",
    "posthouse cert issue --csr orders.csr > orders.pem",
  ]);
  controlAction(command, context, async ({ client, args: [service], options, terminal }) => {
    const { dns, ips, ttlSeconds, csr: file, to } = options as Partial<CertificateRequest> & { to?: string };
    const request = givenOnly({ dns, ips, ttlSeconds });
    if (file !== undefined) {
      const csr = Buffer.from(await readInput(terminal, file)).toString("utf8");
      const issued = await client.identity.issueCertificate({ ...request, csr });
      return terminal.out(issued.certificate);
    }
    const name = requireService(service, options);
    const { trustDomain } = await client.identity.authority();
    const { makeRequest } = await import("#identity/request");
    const namespace = String(options["namespace"]);
    const { key, csr } = await makeRequest(trustDomain, { kind: "service", namespace, name });
    const issued = await client.identity.issueCertificate({ ...request, csr });
    const folder = to ?? name;
    await writeFiles(folder, { "key.pem": key, "certificate.pem": issued.certificate, "bundle.pem": issued.bundle });
    terminal.out(
      detailText([
        ["spiffe id", issued.spiffeId],
        ["serial", issued.serial],
        ["expires", minuteText(issued.expiresAt)],
        ["files", `${join(folder, "key.pem")}, certificate.pem, bundle.pem`],
      ]),
    );
  });
}

/** @throws CLI_ARGUMENT_INVALID */
function requireService(service: string | undefined, { csr }: GivenOptions): string {
  if (service !== undefined && csr === undefined) return service;
  throw CliErrors.ARGUMENT_INVALID("Name a service, or give a signing request with --csr FILE.");
}

/** @throws CLI_FILE_UNWRITABLE */
async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: MODE.folder });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: MODE.file });
  } catch (cause) {
    throw CliErrors.FILE_UNWRITABLE(`The files in ${folder} cannot be written: ${messageOf(cause)}.`, { cause });
  }
}
