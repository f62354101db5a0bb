/** The pictures of the documents: a screenshot becomes a smaller PNG with a palette, and looks the same. */
import { crc32, deflateSync, inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { smallPng } from "../../scripts/pictures/png.ts";

type Color = readonly [red: number, green: number, blue: number];

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** An RGB image whose rows use the five filters of PNG in turn. */
function screenshot(width: number, rows: readonly (readonly Color[])[]): Buffer {
  const flat = rows.map((row) => row.flat());
  const raw = flat.flatMap((row, y) => {
    const filter = y % 5;
    const bytes = row.map((value, x) => {
      const left = row[x - 3] ?? 0;
      const up = flat[y - 1]?.[x] ?? 0;
      const corner = flat[y - 1]?.[x - 3] ?? 0;
      return (value - guess(filter, { left, up, corner })) & 255;
    });
    return [filter, ...bytes];
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(rows.length, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  const data = deflateSync(Buffer.from(raw));
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

function guess(filter: number, { left, up, corner }: { left: number; up: number; corner: number }): number {
  if (filter < 4) return [0, left, up, Math.floor((left + up) / 2)][filter] ?? 0;
  const all = [left, up, corner];
  const distances = all.map((one) => Math.abs(left + up - corner - one));
  return all[distances.indexOf(Math.min(...distances))] ?? 0;
}

/** The colors of a PNG with a palette and without filters, row by row. */
function colorsOf(png: Buffer): string[][] {
  const parts = new Map<string, Buffer>();
  for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
    const data = png.subarray(at + 8, at + 8 + png.readUInt32BE(at));
    expect(png.readUInt32BE(at + 8 + data.length)).toBe(crc32(png.subarray(at + 4, at + 8 + data.length)));
    parts.set(png.toString("latin1", at + 4, at + 8), data);
  }
  const width = parts.get("IHDR")?.readUInt32BE(0) ?? 0;
  const palette = parts.get("PLTE") ?? Buffer.alloc(0);
  const raw = inflateSync(parts.get("IDAT") ?? Buffer.alloc(0));
  return Array.from({ length: raw.length / (width + 1) }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const index = raw[y * (width + 1) + 1 + x] ?? 0;
      return palette.subarray(index * 3, index * 3 + 3).toString("hex");
    }),
  );
}

const hex = (color: Color) => Buffer.from(color).toString("hex");

test("every filter is undone, and colors that differ stay as they are", () => {
  const at = (x: number, y: number): Color => [(x * 8) % 256, (y * 40) % 256, x % 2 === 0 ? 0 : 200];
  const rows = Array.from({ length: 10 }, (_, y) => Array.from({ length: 7 }, (_, x) => at(x, y)));
  expect(colorsOf(smallPng(screenshot(7, rows)))).toEqual(rows.map((row) => row.map(hex)));
});

test("of more colors than a palette has, the frequent ones stay, and others become a near one", () => {
  const rows = Array.from({ length: 40 }, (_, y) =>
    Array.from({ length: 40 }, (_, x): Color => (y < 20 ? [255, 255, 255] : [x * 6, y * 6, 40])),
  );
  const colors = colorsOf(smallPng(screenshot(40, rows)));
  expect(new Set(colors.slice(0, 20).flat())).toEqual(new Set(["ffffff"]));
  expect(new Set(colors.flat()).size).toBeLessThanOrEqual(256);
  const [x, y] = [37, 33];
  const found = [...Buffer.from(colors[y]?.[x] ?? "", "hex")];
  const wanted = rows[y]?.[x] ?? [];
  for (const [index, value] of found.entries()) expect(Math.abs(value - (wanted[index] ?? 0))).toBeLessThan(60);
});

test("another file is rejected", () => {
  expect(() => smallPng(Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"))).toThrow("not a PNG");
});
