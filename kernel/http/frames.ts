/**
 * Encodes and decodes the frames of a watch: Server-Sent Events whose `id:` is the revision, so that the `Last-Event-ID` of any client
 * resumes the watch. Pure, and shared with the client.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

/**
 * `snapshot`: part of the whole state as of the revision · `synced`: the snapshot is complete · `delta`: what changed ·
 * `reset`: discard everything, a snapshot follows · `heartbeat`: no change, everything up to the revision was sent.
 */
export const FRAME_EVENTS = ["snapshot", "synced", "delta", "reset", "heartbeat"] as const;
export type FrameEvent = (typeof FRAME_EVENTS)[number];

export interface Frame<Data = unknown> {
  readonly event: FrameEvent;
  readonly revision: number;
  /** Absent for synced, reset and heartbeat. */
  readonly data?: Data;
  /** Of a heartbeat: milliseconds since the last sign of life of the server's store. Absent from older servers. */
  readonly ageMs?: number;
  /** Of synced and heartbeat: the server started a moment ago and found no other, so owners may still have to register again. */
  readonly cold?: boolean;
}

/** Response header of a watch: its id, which the reader needs to acknowledge revisions. */
export const WATCH_ID_HEADER = "x-posthouse-watch";

/** Longest frame that a reader accepts, in characters: many times a catalog page of a thousand instances. */
export const FRAME_CHARS_MAX = 16 * 1024 * 1024;

/** Response header of the control API: milliseconds since the last sign of life of its store. */
export const DATA_AGE_HEADER = "x-posthouse-data-age-ms";

/** Readers ignore fields that Server-Sent Events do not define. */
export function encodeFrame(frame: Frame): Uint8Array {
  const { event, revision, ageMs, cold } = frame;
  const data = frame.data === undefined ? "" : JSON.stringify(frame.data);
  const age = ageMs === undefined ? "" : `age: ${wholeMs(ageMs)}\n`;
  const temperature = cold ? "cold: true\n" : "";
  return new TextEncoder().encode(`event: ${event}\nid: ${revision}\n${age}${temperature}data: ${data}\n\n`);
}

/** An age for the wire. An unknown age counts as very old. */
export function wholeMs(ageMs: number): number {
  return Math.round(Math.min(Math.max(0, ageMs), Number.MAX_SAFE_INTEGER));
}

/**
 * The age in the last heartbeat of a chunk, without decoding the chunk. Each heartbeat is written in one piece. A heartbeat that was split
 * on the way is missed; the next one has the age, too.
 */
export function ageIn(chunk: Uint8Array): number | undefined {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  const at = bytes.lastIndexOf("\nage: ");
  if (at < 0) return undefined;
  const [, digits] = /^(\d{1,16})\n/.exec(bytes.toString("latin1", at + 6, at + 24)) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Splits a byte stream into frames, whatever chunks it arrives in. */
export class FrameDecoder {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @throws Error for a frame that is malformed, unknown or longer than FRAME_CHARS_MAX; the stream is then unusable. */
  push<Data>(chunk: Uint8Array): Frame<Data>[] {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    const frames: Frame<Data>[] = [];
    for (let end = this.#rest.indexOf("\n\n"); end >= 0; end = this.#rest.indexOf("\n\n")) {
      const block = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 2);
      const frame = parseBlock<Data>(block);
      if (frame) frames.push(frame);
    }
    if (this.#rest.length > FRAME_CHARS_MAX) throw new Error(`a frame is longer than ${FRAME_CHARS_MAX} characters`);
    return frames;
  }
}

function parseBlock<Data>(block: string): Frame<Data> | undefined {
  let event = "";
  let id = "";
  let data = "";
  let ageMs: number | undefined;
  let cold = false;
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue; // A comment keeps the connection open.
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "age" && /^\d{1,16}$/.test(value)) ageMs = Number(value);
    else if (name === "cold") cold = value === "true";
    else if (name === "data") data += data === "" ? value : `\n${value}`;
  }
  if (event === "" && data === "") return undefined;
  if (!FRAME_EVENTS.includes(event as FrameEvent)) throw new Error(`unknown frame "${event}"`);
  const revision = Number(id);
  if (id === "" || !Number.isSafeInteger(revision)) throw new Error(`frame without a revision: "${id}"`);
  return {
    event: event as FrameEvent,
    revision,
    ...(data === "" ? {} : { data: JSON.parse(data) as Data }),
    ...(ageMs === undefined ? {} : { ageMs }),
    ...(cold ? { cold } : {}),
  };
}
