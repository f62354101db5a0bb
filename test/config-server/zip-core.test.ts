/** The directory of a zip, byte by byte: what is read from it, and which of its claims are refused. */
import { strToU8, zipSync, type Zippable } from "fflate";
import { expect, test } from "vitest";
import { AppError } from "#base";
import { TRANSFER_BYTES_MAX, TRANSFER_FILE_BYTES_MAX, TRANSFER_FILES_MAX, ZIP_RATIO_MAX } from "#config-server/api";
import { readZipDirectory } from "../../config-server/core/zip-directory.ts";

const A = "default/a/default/a.txt";
const B = "default/a/default/b.txt";
const BYTES = { end: 22, central: 46, local: 30 };
const stored = (files: Zippable = { [A]: strToU8("one"), [B]: strToU8("three") }) => zipSync(files, { level: 0 });

/** Entries by name, or the code and the entry of the refusal. */
function read(zip: Uint8Array): string[] | [code: string, entry: unknown] {
  try {
    return readZipDirectory(zip).map(({ name }) => name);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return [error.code, error.extra["entry"]];
  }
}

interface Places {
  readonly view: DataView;
  /** Of the end record. */
  readonly end: number;
  /** Of each record of the directory. */
  readonly central: readonly number[];
}

function changed(zip: Uint8Array, change: (places: Places) => void): Uint8Array {
  const copy = Uint8Array.from(zip);
  const view = new DataView(copy.buffer);
  const end = copy.length - BYTES.end;
  const central: number[] = [];
  for (let at = view.getUint32(end + 16, true); at < end;) {
    central.push(at);
    at += BYTES.central + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  change({ view, end, central });
  return copy;
}

const invalid = (entry = "") => ["CONFIG_ZIP_INVALID", entry];

test("entries are read with where their bytes are, and folders are left out", () => {
  const zip = zipSync({
    "default/": new Uint8Array(),
    [A]: [strToU8("one"), { level: 0 }],
    [B]: strToU8("b".repeat(99)),
  });
  const [first, second, ...rest] = readZipDirectory(zip);
  expect([first, second, rest]).toMatchObject([{ name: A, method: 0, size: 3 }, { name: B, method: 8, size: 99 }, []]);
  expect(Buffer.from(zip.subarray(first?.start, first?.end)).toString()).toBe("one");
  // A zip inside a larger buffer is read at its place.
  const within = Buffer.concat([Buffer.alloc(7), zip, Buffer.alloc(9)]).subarray(7, 7 + zip.length);
  expect(read(within)).toEqual([A, B]);
  expect(read(zipSync({}))).toEqual([]);
});

test("the end record is found behind a comment of any length, and nowhere else", () => {
  const commented = (bytes: number) => {
    const zip = Buffer.concat([stored(), Buffer.alloc(bytes)]);
    zip.writeUInt16LE(bytes, zip.length - bytes - 2);
    return zip;
  };
  expect([read(commented(1)), read(commented(0xffff))]).toEqual([
    [A, B],
    [A, B],
  ]);
  expect(read(Buffer.concat([commented(0xffff), Buffer.alloc(1)]))).toEqual(invalid());
  for (const bytes of [0, 1, 21, 22, 100]) expect(read(new Uint8Array(bytes))).toEqual(invalid());
});

test("a zip in several parts, and a zip64, are refused", () => {
  const zip = stored();
  expect(read(changed(zip, ({ view, end }) => view.setUint16(end + 4, 1, true)))).toEqual(invalid());
  expect(read(changed(zip, ({ view, end }) => view.setUint16(end + 8, 1, true)))).toEqual(invalid());
  const count = (value: number) =>
    read(
      changed(zip, ({ view, end }) => {
        view.setUint16(end + 8, value, true);
        view.setUint16(end + 10, value, true);
      }),
    );
  expect([count(0xffff), count(TRANSFER_FILES_MAX + 1), count(TRANSFER_FILES_MAX)]).toEqual([
    invalid(),
    ["CONFIG_ZIP_TOO_LARGE", ""],
    invalid(),
  ]);
  expect(count(1)).toEqual([A]);
  expect(read(changed(zip, ({ view, end }) => view.setUint32(end + 16, 0xffffffff, true)))).toEqual(invalid());
});

test("a directory that reaches beyond its end is refused", () => {
  const zip = stored();
  const longer = (by: number) =>
    read(changed(zip, ({ view, end }) => view.setUint32(end + 12, view.getUint32(end + 12, true) + by, true)));
  expect([longer(0), longer(1)]).toEqual([[A, B], invalid()]);
  // Names, extra fields and comments count.
  for (const field of [28, 30, 32]) {
    const grown = changed(zip, ({ view, central }) => {
      const at = (central[1] as number) + field;
      view.setUint16(at, view.getUint16(at, true) + 1, true);
    });
    expect([field, read(grown)]).toEqual([field, invalid()]);
  }
  expect(read(changed(zip, ({ view, central }) => view.setUint8(central[1] as number, 0)))).toEqual(invalid());
});

test("an entry lies where the directory says, under the same name, and whole", () => {
  const zip = stored();
  const central = (field: number, value: number) =>
    read(changed(zip, ({ view, central }) => view.setUint32((central[1] as number) + field, value, true)));
  const local = BYTES.local + A.length + 3;
  expect([central(42, local), central(42, local + 1), central(42, zip.length), central(42, 0)]).toEqual([
    [A, B],
    invalid(B),
    invalid(B),
    invalid(B),
  ]);
  // One that ends with the zip is whole; a byte more is not. Stored, both sizes are the same.
  const sized = (bytes: number) =>
    read(
      changed(zip, ({ view, central }) => {
        view.setUint32((central[1] as number) + 20, bytes, true);
        view.setUint32((central[1] as number) + 24, bytes, true);
      }),
    );
  const room = zip.length - local - BYTES.local - B.length;
  expect([sized(room), sized(room + 1)]).toEqual([[A, B], invalid(B)]);
  expect([central(20, 4), central(24, 4)]).toEqual([invalid(B), invalid(B)]);
  expect(read(changed(zip, ({ view }) => view.setUint8(local + BYTES.local, 0x44)))).toEqual(invalid(B));
  // Bytes behind the local name count, too.
  expect(read(changed(zip, ({ view }) => view.setUint16(local + 28, 60_000, true)))).toEqual(invalid(B));
});

test("links, encrypted entries, other methods and folders with content are refused by name", () => {
  const zip = stored();
  const first = (change: (view: DataView, at: number) => void) =>
    read(changed(zip, ({ view, central }) => change(view, central[0] as number)));
  const mode = (unix: number) => first((view, at) => view.setUint32(at + 38, (unix << 16) >>> 0, true));
  expect([mode(0o120777), mode(0o040755), mode(0o100644), mode(0)]).toEqual([invalid(A), invalid(A), [A, B], [A, B]]);
  const flags = (value: number) => first((view, at) => view.setUint16(at + 8, value, true));
  // The bit of UTF-8 names is harmless.
  expect([flags(1), flags(0x0801), flags(0x0800), flags(2)]).toEqual([invalid(A), invalid(A), [A, B], [A, B]]);
  const method = (value: number) => first((view, at) => view.setUint16(at + 10, value, true));
  expect([method(0), method(8), method(1), method(9), method(99)]).toEqual([
    [A, B],
    [A, B],
    invalid(A),
    invalid(A),
    invalid(A),
  ]);
  expect(read(zipSync({ "default/x/": strToU8("content") }, { level: 0 }))).toEqual(invalid("default/x/"));
  const folder = zipSync({
    "default/x": [new Uint8Array(), { os: 3, attrs: (0o040755 << 16) >>> 0 }],
    [A]: strToU8("a"),
  });
  expect(read(folder)).toEqual([A]);
});

test.each(["../a", "a/../b", "/a", "C:/a", "c:a", "a\\b", "a//b", "./a", "a/.", "a\0b", "//"])(
  "the name %j is refused",
  (name) => expect(read(zipSync({ [name]: new Uint8Array() }, { level: 0 }))).toEqual(invalid(name)),
);

test("names that only look like a way out are names", () => {
  for (const name of ["a/..b", "...", "a.", "default/a/", "ab:c"]) {
    const expected = name.endsWith("/") ? [] : [name];
    expect(read(zipSync({ [name]: new Uint8Array() }, { level: 0 }))).toEqual(expected);
  }
});

test("a name that is there twice is refused, be it a folder", () => {
  const doubled = (one: string, two: string) => {
    const bytes = Buffer.from(stored({ [one]: new Uint8Array(), [two]: new Uint8Array() })).toString("latin1");
    return read(Buffer.from(bytes.replaceAll(two, one), "latin1"));
  };
  expect([doubled("a.txt", "b.txt"), doubled("a/", "b/")]).toEqual([invalid("a.txt"), invalid("a/")]);
});

test("an entry may be as large as a value, and a zip may grow so many times", () => {
  const sized = (bytes: number) => read(stored({ [A]: new Uint8Array(bytes) }));
  expect([sized(TRANSFER_FILE_BYTES_MAX), sized(TRANSFER_FILE_BYTES_MAX + 1)]).toEqual([
    [A],
    ["CONFIG_ZIP_TOO_LARGE", A],
  ]);
  // Below a megabyte nothing is a bomb.
  expect(read(zipSync({ [A]: new Uint8Array(TRANSFER_FILE_BYTES_MAX) }))).toEqual([A]);
  const zeros = { [A]: new Uint8Array(TRANSFER_FILE_BYTES_MAX), [B]: new Uint8Array(TRANSFER_FILE_BYTES_MAX) };
  const small = zipSync(zeros);
  expect(small.length * ZIP_RATIO_MAX).toBeLessThan(2 * TRANSFER_FILE_BYTES_MAX);
  expect(read(small)).toEqual(invalid());
  const padding = Math.ceil((2 * TRANSFER_FILE_BYTES_MAX) / ZIP_RATIO_MAX) - small.length;
  const padded = (bytes: number) => {
    const zip = Buffer.concat([small, Buffer.alloc(bytes)]);
    zip.writeUInt16LE(bytes, zip.length - bytes - 2);
    return read(zip);
  };
  expect([padded(padding), padded(padding - 1)]).toEqual([[A, B], invalid()]);
});

test("all entries together may be so large, as they are declared", () => {
  const files = TRANSFER_BYTES_MAX / TRANSFER_FILE_BYTES_MAX + 1;
  const zip = zipSync(Object.fromEntries(Array.from({ length: files }, (_, i) => [`k${i}`, strToU8("x".repeat(50))])));
  const total = (last: number) =>
    read(
      changed(zip, ({ view, central }) => {
        for (const [i, at] of central.entries()) {
          view.setUint32(at + 24, i === files - 1 ? last : TRANSFER_FILE_BYTES_MAX, true);
        }
      }),
    );
  // An archive within the size limit is rejected as a zip bomb.
  expect([total(0), total(1)]).toEqual([invalid(), ["CONFIG_ZIP_TOO_LARGE", ""]]);
});

test("entries do not overlap; an entry that begins before another ends is refused", () => {
  const zip = stored();
  const overlapping = changed(zip, ({ view, central }) => {
    // The first says that it is as long as to reach one byte into the second.
    const bytes = 3 + BYTES.local + B.length + 1;
    view.setUint32((central[0] as number) + 20, bytes, true);
    view.setUint32((central[0] as number) + 24, bytes, true);
  });
  expect(read(overlapping)).toEqual(invalid(B));
  const touching = changed(zip, ({ view, central }) => {
    const bytes = 3 + BYTES.local + B.length;
    view.setUint32((central[0] as number) + 20, bytes, true);
    view.setUint32((central[0] as number) + 24, bytes, true);
  });
  expect(read(touching)).toEqual([A, B]);
});
