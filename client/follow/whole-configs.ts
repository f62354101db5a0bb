/**
 * A watch of a config whose frames each hold the whole config, although only changes are sent. A patch for other content than
 * the known one cannot be applied: the stream then starts again from nothing, after a `reset`.
 */
import type { Frame } from "#http/frames";
import type { ConfigPatch, EffectiveConfig } from "#config-server/api";

type Frames = AsyncGenerator<Frame<EffectiveConfig | ConfigPatch>>;

/** `open` begins a stream: one that resumes, or one from nothing. */
export async function* wholeConfigs(
  open: (resume: boolean, signal: AbortSignal) => Frames,
  signal: AbortSignal,
): AsyncGenerator<Frame<EffectiveConfig>> {
  for (let resume = true; !signal.aborted; resume = false) {
    const end = new AbortController();
    let known: EffectiveConfig | undefined;
    try {
      for await (const { data, ...frame } of open(resume, AbortSignal.any([signal, end.signal]))) {
        if (frame.event === "reset") known = undefined;
        if (data === undefined) {
          yield frame;
          continue;
        }
        known = withPatch(known, data);
        if (!known) {
          yield { event: "reset", revision: frame.revision };
          break;
        }
        yield { ...frame, data: known };
      }
    } finally {
      end.abort(new Error("the watch has ended"));
    }
  }
}

/** The same frames; `acknowledge` is called for each config once the reader asks for the next frame. */
export async function* acknowledged(
  frames: AsyncGenerator<Frame<EffectiveConfig>>,
  acknowledge: (config: EffectiveConfig) => void,
): AsyncGenerator<Frame<EffectiveConfig>> {
  for await (const frame of frames) {
    yield frame;
    if (frame.data && frame.data.revision > 0) acknowledge(frame.data);
  }
}

/** The config of a frame: the whole one, or the known one with a patch applied. Undefined: the patch is for other content. */
function withPatch(
  known: EffectiveConfig | undefined,
  data: EffectiveConfig | ConfigPatch,
): EffectiveConfig | undefined {
  if (!("base" in data)) return data;
  const { base, changed, removed, ...head } = data;
  if (known?.releaseKey === head.releaseKey) return known;
  if (known?.releaseKey !== base) return undefined;
  const items = { ...known.items, ...changed };
  for (const key of removed) delete items[key];
  return { ...head, items };
}
