/** Writes a file in place and dies without warning when half of it is written: `torn-writer PATH CONTENT`. Run by in-place.test.ts. */
import { open } from "node:fs/promises";
import { FileSink } from "../../agent/file-sink.ts";
import { testHost } from "../kit/host.ts";

const [path = "", content = ""] = process.argv.slice(2);
{
  await using file = await open(path, "r");
  const handle = Object.getPrototypeOf(file) as { write: (bytes: Buffer, ...more: number[]) => Promise<unknown> };
  const { write } = handle;
  handle.write = async function half(bytes, offset = 0, length = 0, position = 0) {
    await write.call(this, bytes, offset, Math.floor(length / 2), position);
    process.kill(process.pid, "SIGKILL");
  };
}
await new FileSink(testHost()).write(path, content, { followLinks: true, inPlace: true });
