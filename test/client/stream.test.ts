/** The reader of a watch when its stream is cut at an unlucky moment. */
import { expect, test } from "vitest";
import { Client, type Transport } from "#client";
import { encodeFrame, type Frame } from "#http/frames";
import { testHost } from "#test/kit";

/** Answers one watch after the other with these frames, and cuts each. */
function answering(...streams: Frame[][]): Transport {
  return {
    request: async () => ({
      status: 200,
      header: () => undefined,
      headers: () => ({}),
      text: async () => "",
      async *stream() {
        for (const frame of streams.shift() ?? []) yield encodeFrame(frame);
        throw new Error("cut");
      },
    }),
    [Symbol.asyncDispose]: async () => {},
  };
}

const piece = (service: string) => ({ namespace: "default", service, instances: [], removed: [] });

test("a watch cut in the middle of its first snapshot tells its reader to forget that part", async () => {
  const client = new Client(testHost(), {
    transport: answering(
      [{ event: "snapshot", revision: 7, data: piece("gone-meanwhile") }],
      [
        { event: "snapshot", revision: 9, data: piece("still-there") },
        { event: "synced", revision: 9 },
      ],
    ),
  });
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const { event, revision } of client.registry.watch({ namespace: "default" }, { signal: stop.signal })) {
    seen.push(`${event} ${revision}`);
    if (event === "synced") break;
  }
  expect(seen).toEqual(["snapshot 7", "reset 9", "snapshot 9", "synced 9"]);
});
