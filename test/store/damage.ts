/** A store with everything that a file can have, and how its file is damaged. */
import { randomInt, type Random } from "#base";
import type { Store } from "#store";

const PAGE = 8192;

/** Old revisions, deleted keys, leases, large values, free pages. */
export async function fill(store: Store): Promise<void> {
  for (let round = 0; round < 12; round++) {
    const lease = await store.grant(1000 + round);
    await store.txn({
      then: Array.from({ length: 60 }, (_, key) => ({
        type: "put" as const,
        key: `/k/${key}`,
        value: Buffer.alloc(key % 20 === 0 ? 9000 : 40, `${round}.${key};`),
        ...(key % 5 === 0 ? { lease: lease.id } : {}),
      })),
    });
    await store.txn({ then: [{ type: "delete", key: `/k/${round}` }] });
    if (round === 8) await store.compact((await store.status()).revision - 2);
    await store.txn({ then: [{ type: "put", key: `/a/${round}`, value: Buffer.alloc(10) }] });
  }
}

export interface Damaged {
  readonly data: Buffer;
  readonly what: string;
}

/** Damages a copy of a file, otherwise at each call; or what was damaged before once more. */
export function damager(original: Buffer, random: Random): (before?: Buffer) => Damaged {
  const chance = (below: number) => randomInt(random, below);

  /** Where bytes turn: mostly where they matter to LMDB, and anywhere. */
  function place(): number {
    const page = chance(original.length / PAGE) * PAGE;
    switch (chance(5)) {
      case 0:
        return chance(2) * PAGE + chance(170);
      case 1:
        return page + chance(24);
      case 2:
        return page + 24 + chance(80);
      case 3:
        return page + PAGE - 1 - chance(400);
      default:
        return chance(original.length);
    }
  }

  return (before = original) => {
    const data = Buffer.from(before);
    const kind = chance(12);
    const [from, to] = [chance(data.length / PAGE), chance(data.length / PAGE)];
    if (kind === 0) {
      data.fill(0, from * PAGE, (from + 1) * PAGE);
      return { data, what: `page ${from} is zeros` };
    }
    if (kind === 1) {
      original.copy(data, to * PAGE, from * PAGE, (from + 1) * PAGE);
      return { data, what: `page ${to} is a copy of ${from}` };
    }
    const places = Array.from({ length: 1 + (chance(3) === 0 ? chance(8) : 0) }, place);
    for (const at of places) data[at] = (data[at] as number) ^ (chance(2) === 0 ? 1 << chance(8) : 1 + chance(255));
    return { data, what: `bytes ${places.map((at) => `${Math.floor(at / PAGE)}+${at % PAGE}`).join(" ")}` };
  };
}
