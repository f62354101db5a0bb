/**
 * Which member does a piece of work, such as probing a check: the one whose name and the work's together hash highest.
 * Every member that knows the same members comes to the same answer; one that leaves gives away its own work only, and
 * one that joins takes an even share. Pure.
 * @see Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (highest random weight)
 */

interface Candidate {
  readonly member: string;
  readonly weight: number;
}

/** The owner of a key; undefined when there are no members. */
export function ownerOf(members: readonly string[], key: string): string | undefined {
  const hash = hashOf(key);
  let best: Candidate | undefined;
  for (const member of members) {
    const one = { member, weight: mix(hashOf(member) ^ hash) };
    if (!best || outranks(one, best)) best = one;
  }
  return best?.member;
}

/** Whether one member owns a key; faster than asking for the owner of each key among the same members. */
export function ownership(members: readonly string[], self: string): (key: string) => boolean {
  if (!members.includes(self)) return () => false;
  const own = hashOf(self);
  const others = members.filter((member) => member !== self).map((member) => ({ member, hash: hashOf(member) }));
  return (key) => {
    const hash = hashOf(key);
    const mine = { member: self, weight: mix(own ^ hash) };
    return others.every((other) => outranks(mine, { member: other.member, weight: mix(other.hash ^ hash) }));
  };
}

/** Two names may hash alike: then the one that sorts last wins. */
function outranks(one: Candidate, other: Candidate): boolean {
  return one.weight === other.weight ? one.member > other.member : one.weight > other.weight;
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** The finalizer of MurmurHash3: each bit of the input turns about half of those of the output. */
function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
