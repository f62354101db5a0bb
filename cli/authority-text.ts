/** The certificate authority as text: its state, and a table of its certificates. */
import type { AuthorityCertificate, AuthorityView } from "#identity/api";
import { detailText } from "./detail.ts";
import type { GivenOptions } from "./options.ts";
import { type Column, formatFor, formatRows, isDocument, paintFor } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { dayText, minuteText } from "./time-text.ts";

/** Digits of a fingerprint in the table: enough to tell apart. `-o json` has all. */
const FINGERPRINT_DIGITS = 16;

const COLUMNS: readonly Column<AuthorityCertificate>[] = [
  ["PART", ({ part }) => part],
  ["STATE", ({ state, removedAt }) => (removedAt === undefined ? state : `${state}, until ${minuteText(removedAt)}`)],
  ["EXPIRES", ({ expiresAt }) => dayText(expiresAt)],
  ["SHA-256", ({ fingerprint }) => fingerprint.slice(0, FINGERPRINT_DIGITS)],
  ["KEY", ({ keyHere }) => (keyHere ? "here" : "outside")],
  ["SUBJECT", ({ subject }) => subject],
];

export async function printAuthority(terminal: Terminal, options: GivenOptions, view: AuthorityView): Promise<void> {
  const format = formatFor(options, terminal);
  if (isDocument(format)) return terminal.out(await formatRows(format, [], [view], paintFor(terminal)));
  const { trustDomain, state, rotation, problem, certificates } = view;
  const next = rotation && `a new ${rotation.part} is announced, and issues from ${minuteText(rotation.switchesAt)}`;
  const none = "none yet; the first certificate or join token creates it";
  terminal.out(
    detailText([
      ["trust domain", trustDomain],
      ["state", state === "none" ? none : state],
      ["rotation", next],
      ["problem", problem],
    ]),
  );
  if (certificates.length === 0) return;
  terminal.out(`\n${await formatRows(format, COLUMNS, certificates, paintFor(terminal))}`);
}
