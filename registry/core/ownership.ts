/**
 * Which member does a piece of work, such as probing a check: the one whose name and the work's together hash highest.
 * Every member that knows the same members comes to the same answer; one that leaves gives away its own work only, and
 * one that joins takes an even share. Pure.
 * @see Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (highest random weight)
 */

/** The owner of a key; undefined when there are no members. */
export function ownerOf(members: readonly string[], key: string): string | undefined {
  const hash = hashOf(key);
  let owner: string | undefined;
  let highest = -1;
  for (const member of members) {
    const weight = mix(hashOf(member) ^ hash);
    if (weight < highest || (weight === highest && owner !== undefined && owner > member)) continue;
    owner = member;
    highest = weight;
  }
  return owner;
}

/** Whether one member owns a key; faster than asking for the owner of each key among the same members. */
export function ownership(members: readonly string[], self: string): (key: string) => boolean {
  if (!members.includes(self)) return () => false;
  if (members.length === 1) return () => true;
  const own = hashOf(self);
  const others = members.filter((member) => member !== self).map((member) => ({ member, hash: hashOf(member) }));
  return (key) => {
    const hash = hashOf(key);
    const weight = mix(own ^ hash);
    return others.every((other) => {
      const theirs = mix(other.hash ^ hash);
      return theirs < weight || (theirs === weight && other.member < self);
    });
  };
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
