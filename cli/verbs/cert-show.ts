/** `posthouse cert show SERIAL`. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { withExamples } from "../options.ts";
import { formatFor, formatRows, isDocument, paintFor, withOutput } from "../table.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse cert show 5f0a3c0f7a1b4c2d8e9f00112233445566"]);
  controlAction(command, context, async ({ client, args: [serial = ""], options, terminal }) => {
    const certificate = await client.identity.certificate(serial.toLowerCase().replaceAll(":", ""));
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatRows(format, [], [certificate], paintFor(terminal)));
    const { spiffeId, dns = [], ips = [], issuedAt, expiresAt, by, revoked } = certificate;
    terminal.out(
      detailText([
        ["serial", certificate.serial],
        ["spiffe id", spiffeId],
        ["names", [...dns, ...ips].join(", ")],
        ["issued", `${minuteText(issuedAt)} for ${by}`],
        ["expires", minuteText(expiresAt)],
        ["revoked", revoked && `${minuteText(revoked.at)} by ${revoked.by}`],
      ]),
    );
  });
}
