/** Hashes for placement and spreading: short, without tables, the same on every machine. Never for secrets. */

/** A 32-bit hash of a text: FNV-1a over its UTF-16 units, then the finalizer of MurmurHash3, so that all bits are even. */
export function textHash32(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1);
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mixedHash32(hash);
}

/** The finalizer of MurmurHash3: each bit of the input changes about half of the bits of the result. */
export function mixedHash32(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
