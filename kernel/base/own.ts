/**
 * Members of plain objects by names that come from outside, such as a config key, a header or a file's ending. `object[name]`
 * also finds what every object inherits (`constructor`, `toString`), and assigning to `__proto__` adds no member.
 */

/** The object's own member of that name, if it has one. */
export function own<Value>(
  object: { readonly [name: string]: Value } | null | undefined,
  name: string,
): Value | undefined {
  return object !== null && object !== undefined && Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Sets a member of the object itself, whatever its name. */
export function setOwn<Value>(object: { [name: string]: Value }, name: string, value: Value): void {
  if (name === "__proto__")
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  else object[name] = value;
}

/** The same for anything: undefined when it is not an object. */
export function ownMember(holder: unknown, name: string): unknown {
  return typeof holder === "object" && holder !== null ? own(holder as Record<string, unknown>, name) : undefined;
}
