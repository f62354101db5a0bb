/** Makes a screenshot small: its most frequent colors become a palette, and every other color the nearest of them. */
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Colors of a palette with one byte per pixel. */
const COLORS_MAX = 256;
/** Colors of the palette that are chosen by frequency alone: surfaces and text. Others follow, so that small icons keep their color. */
const FREQUENT = 64;

interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Rows without their filter bytes. */
  readonly pixels: Buffer;
}

/** @param png 8 bits per channel, RGB or RGBA without transparency, as browsers take screenshots */
export function smallPng(png: Buffer): Buffer {
  const image = readPng(png);
  const { width, height } = image;
  const palette = paletteOf(image);
  const rows = Buffer.alloc((width + 1) * height);
  const nearest = new Map<number, number>();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const color = colorAt(image, y * width + x);
      let index = nearest.get(color);
      if (index === undefined) nearest.set(color, (index = nearestIn(palette, color)));
      rows[y * (width + 1) + 1 + x] = index;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits per pixel, as an index into the palette.
  header.set([8, 3, 0, 0, 0], 8);
  const plte = Buffer.from(palette.flatMap((color) => [color >> 16, (color >> 8) & 255, color & 255]));
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("PLTE", plte),
    chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function colorAt({ pixels, channels }: Image, index: number): number {
  const at = index * channels;
  return ((pixels[at] ?? 0) << 16) | ((pixels[at + 1] ?? 0) << 8) | (pixels[at + 2] ?? 0);
}

/** The most frequent colors, and then, one by one, the color that all those before it stand for worst. */
function paletteOf(image: Image): readonly number[] {
  const counts = new Map<number, number>();
  for (let index = 0; index < image.width * image.height; index++) {
    const color = colorAt(image, index);
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  const colors = [...counts].sort(([, a], [, b]) => b - a).map(([color]) => color);
  const palette = colors.slice(0, FREQUENT);
  const distances = colors.map((color) => Math.min(...palette.map((one) => distance(one, color))));
  while (palette.length < Math.min(COLORS_MAX, colors.length)) {
    let worst = 0;
    for (const [index, color] of colors.entries()) {
      const error = (distances[index] ?? 0) * (counts.get(color) ?? 0);
      if (error > (distances[worst] ?? 0) * (counts.get(colors[worst] ?? 0) ?? 0)) worst = index;
    }
    const next = colors[worst] ?? 0;
    if (distances[worst] === 0) break;
    palette.push(next);
    for (const [index, color] of colors.entries()) {
      distances[index] = Math.min(distances[index] ?? Infinity, distance(next, color));
    }
  }
  return palette;
}

function nearestIn(palette: readonly number[], color: number): number {
  let best = 0;
  let least = Infinity;
  for (const [index, one] of palette.entries()) {
    const found = distance(one, color);
    if (found < least) [best, least] = [index, found];
  }
  return best;
}

/** Squared, with green counting most, as for eyes. */
function distance(one: number, other: number): number {
  const red = (one >> 16) - (other >> 16);
  const green = ((one >> 8) & 255) - ((other >> 8) & 255);
  const blue = (one & 255) - (other & 255);
  return 2 * red * red + 4 * green * green + 3 * blue * blue;
}

function readPng(png: Buffer): Image {
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error("not a PNG");
  let [width, height, channels] = [0, 0, 0];
  const data: Buffer[] = [];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") {
      [width, height] = [body.readUInt32BE(0), body.readUInt32BE(4)];
      if (body[8] !== 8 || body[12] !== 0) throw new Error("only plain PNGs with 8 bits per channel");
      channels = body[9] === 6 ? 4 : 3;
    }
    if (type === "IDAT") data.push(body);
    at += length + 12;
  }
  return { width, height, channels, pixels: unfiltered(inflateSync(Buffer.concat(data)), { width, height, channels }) };
}

/** Undoes the filter of each row, as the PNG specification describes it. */
function unfiltered(raw: Buffer, { width, height, channels }: Omit<Image, "pixels">): Buffer {
  const stride = width * channels;
  const out = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)] ?? 0;
    for (let x = 0; x < stride; x++) {
      const left = x >= channels ? (out[y * stride + x - channels] ?? 0) : 0;
      const up = y > 0 ? (out[(y - 1) * stride + x] ?? 0) : 0;
      const corner = x >= channels && y > 0 ? (out[(y - 1) * stride + x - channels] ?? 0) : 0;
      const value = raw[y * (stride + 1) + 1 + x] ?? 0;
      out[y * stride + x] = (value + predicted(filter, left, up, corner)) & 255;
    }
  }
  return out;
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  return filter === 4 ? paeth(left, up, corner) : 0;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
