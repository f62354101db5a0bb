/** Parsing what certificates say, from text that the certificate's holder may have chosen. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { altNames } from "#identity/core";
import { clientCertificate, hasAltName } from "../../../../gateway/core/callers/certificates.ts";

/** As Node writes it: quoted where it would be taken for several. */
const written = (names: readonly (readonly [type: string, value: string])[]) =>
  names.map(([type, value]) => `${type}:${/[,"\\\s]/.test(value) ? JSON.stringify(value) : value}`).join(", ");

const anyNames = fc.array(fc.tuple(fc.constantFrom("DNS", "URI", "IP Address", "email"), fc.string({ minLength: 1 })));

/** Elements of the header as Envoy's grammar has them: quotes hold what would end one. */
function elements(header: string): [string, string][] {
  const found = [...header.matchAll(/(?:^|;)([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=\\]*))(?=;|$)/g)];
  expect(found.map(([whole]) => whole).join("")).toBe(header);
  return found.map(([, key = "", quoted, plain = ""]) => [key, quoted?.replaceAll(/\\(.)/g, "$1") ?? plain]);
}

test("names are read as they were written, whatever is in them", () => {
  fc.assert(
    fc.property(anyNames, (names) => {
      expect(altNames(written(names))).toEqual(names.map(([type, value]) => ({ type, value })));
    }),
  );
});

test("a text of another shape has no names at all", () => {
  for (const text of ["DNS", ":x", 'DNS:a, URI:"b', 'DNS:a"b', 'DNS:"a"b', "DNS:a, ", "DNS:a, b", 'DNS:"a\\x"']) {
    expect([text, altNames(text)]).toEqual([text, []]);
  }
  expect(altNames(undefined)).toEqual([]);
});

test("only a whole name of its own kind is one", () => {
  const text = 'DNS:a.example, URI:spiffe://b/c, email:x@d.example, DNS:*.w.example, URI:"spiffe://e, DNS:f.example"';
  for (const name of ["a.example", "A.Example", "spiffe://b/c", "*.w.example"])
    expect(hasAltName(text, [name])).toBe(true);
  for (const name of [
    "x@d.example",
    "y.w.example",
    "f.example",
    "spiffe://b",
    "spiffe://B/c",
    "spiffe://e",
    ".example",
  ]) {
    expect([name, hasAltName(text, [name])]).toEqual([name, false]);
  }
});

test("no name adds an element to the header, ends its line, or makes it long", () => {
  const fingerprint256 = "AB:".repeat(31) + "AB";
  fc.assert(
    fc.property(anyNames, (names) => {
      const header = clientCertificate({ fingerprint256, subject: "C=DE\nCN=x", subjectAltName: written(names) });
      expect(header).toMatch(/^[\x20-\x7e]{1,4096}$/);
      const [hash, subject, ...rest] = elements(header);
      expect([hash, subject]).toEqual([
        ["Hash", "ab".repeat(32)],
        ["Subject", "CN=x,C=DE"],
      ]);
      const plain = names.filter(([type, value]) => (type === "DNS" || type === "URI") && /^[\x21-\x7e]+$/.test(value));
      const byKind = (kind: string) => plain.filter(([type]) => type === kind);
      expect(rest).toEqual([...byKind("URI"), ...byKind("DNS")]);
    }),
  );
  const many = written(Array.from({ length: 1_000 }, (_, at) => ["DNS", `${at}.example`] as const));
  expect(
    clientCertificate({ fingerprint256, subject: `CN=${"x".repeat(9_000)}`, subjectAltName: many }).length,
  ).toBeLessThan(4_097);
});
