/** How the bytes of a log file become lines: partial lines wait for their rest, and long lines are cut. */
import { stripVTControlCharacters } from "node:util";

/** Bytes of one line. The rest of a longer line is dropped, so that a file without line ends needs little memory. */
export const LINE_BYTES_MAX = 256 * 1024;
/** The end of a line that was cut. */
export const CUT_MARK = "…cut";

const LINE_END = 0x0a;
/** Control characters other than the tab. They would disturb the terminal of a reader. */
const CONTROLS = /(?!\t)\p{Cc}/gu;
const ANY_CONTROL = /(?!\t)\p{Cc}/u;

export class LineSplitter {
  /** Bytes of a line that has no end yet. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #isCutting: boolean;

  /** @param isCutting whether the first bytes belong to a line that was cut already */
  constructor(isCutting = false) {
    this.#isCutting = isCutting;
  }

  /** Bytes that were pushed and are part of no line yet. */
  get restBytes(): number {
    return this.#restBytes;
  }

  /** Whether the next bytes belong to a line that was cut already. */
  get isCutting(): boolean {
    return this.#isCutting;
  }

  /** The lines that end in these bytes. The buffer can be reused afterwards. */
  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = bytes.indexOf(LINE_END, at);
      this.#take(bytes.subarray(at, end === -1 ? bytes.length : end), lines);
      if (end === -1) break;
      if (!this.#isCutting) lines.push(this.#joined());
      this.#isCutting = false;
      at = end + 1;
    }
    // The caller reuses its buffer, and only the last part outlives this call.
    this.#rest = this.#rest.length === 0 ? [] : [Buffer.concat(this.#rest)];
    return lines;
  }

  /** Ends the partial line, if there is one. */
  flush(): string[] {
    return this.#restBytes === 0 ? [] : [this.#joined()];
  }

  #take(part: Buffer, lines: string[]): void {
    if (this.#isCutting || part.length === 0) return;
    const room = LINE_BYTES_MAX - this.#restBytes;
    const taken = part.subarray(0, room);
    this.#rest.push(taken);
    this.#restBytes += taken.length;
    if (part.length <= room) return;
    lines.push(this.#joined() + CUT_MARK);
    this.#isCutting = true;
  }

  #joined(): string {
    const [only = Buffer.alloc(0)] = this.#rest;
    const text = (this.#rest.length > 1 ? Buffer.concat(this.#rest) : only).toString("utf8");
    this.#rest = [];
    this.#restBytes = 0;
    return cleanLine(text);
  }
}

function cleanLine(text: string): string {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return ANY_CONTROL.test(line) ? stripVTControlCharacters(line).replaceAll(CONTROLS, "\uFFFD") : line;
}
