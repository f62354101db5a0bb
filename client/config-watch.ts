/**
 * A watch of a config, each frame with the whole of it, though only what changed travels. A patch that is for another
 * content than the one known cannot be laid on: the whole is then asked for, after a `reset`.
 */
import type { Frame } from "#http/frames";
import type { ConfigPatch, EffectiveConfig } from "#config-server/api";

type Frames = AsyncGenerator<Frame<EffectiveConfig | ConfigPatch>>;

/** `open` begins a stream, to resume what is known or from nothing. */
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

/** The same frames; `say` hears of each config once its reader has taken it over, and asks for what comes next. */
export async function* acknowledged(
  frames: AsyncGenerator<Frame<EffectiveConfig>>,
  say: (config: EffectiveConfig) => void,
): AsyncGenerator<Frame<EffectiveConfig>> {
  for await (const frame of frames) {
    yield frame;
    if (frame.data && frame.data.revision > 0) say(frame.data);
  }
}

/** What a frame says: the whole, or what was known with a patch laid on. Undefined: the patch is for another content. */
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
