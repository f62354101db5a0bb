/**
 * Which member does a piece of work, such as probing a check: the member whose name, hashed together with the work's key,
 * has the highest weight. Members with the same list of members agree. A member that leaves gives away only its own work,
 * and a member that joins takes an even share. Pure.
 * @see Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (highest random weight)
 */
import { mixedHash32, textHash32 } from "#base";

interface Candidate {
  readonly member: string;
  readonly weight: number;
}

/** The owner of a key; undefined without members. */
export function ownerOf(members: readonly string[], key: string): string | undefined {
  const hash = textHash32(key);
  let best: Candidate | undefined;
  for (const member of members) {
    const one = { member, weight: mixedHash32(textHash32(member) ^ hash) };
    if (!best || outranks(one, best)) best = one;
  }
  return best?.member;
}

/** Whether one member owns a key. For many keys and one list of members, faster than `ownerOf` for each. */
export function ownership(members: readonly string[], self: string): (key: string) => boolean {
  if (!members.includes(self)) return () => false;
  const own = textHash32(self);
  const others = members.filter((member) => member !== self).map((member) => ({ member, hash: textHash32(member) }));
  return (key) => {
    const hash = textHash32(key);
    const mine = { member: self, weight: mixedHash32(own ^ hash) };
    return others.every((other) => outranks(mine, { member: other.member, weight: mixedHash32(other.hash ^ hash) }));
  };
}

/** Two members may have equal weights: then the name that sorts last wins. */
function outranks(one: Candidate, other: Candidate): boolean {
  return one.weight === other.weight ? one.member > other.member : one.weight > other.weight;
}
