/** Names of config sets: whatever the program prints, it takes. */
import { array, assert, constantFrom, option, property, tuple } from "fast-check";
import { Check } from "typebox/value";
import { expect, test } from "vitest";
import { SetName } from "#config-server/api";
import { parseSetName, setText } from "../../cli/set-name.ts";

const word = array(constantFrom("a", "b", "z", "0", "9", "-"), { minLength: 1, maxLength: 8 })
  .map((letters) => letters.join(""))
  .filter((text) => !/^-|-$/.test(text));

test("every name that the config server takes is read back from its text", () => {
  assert(
    property(tuple(word, word, word, option(word)), ([namespace, app, profile, label]) => {
      const name = { namespace, app, profile: label === null ? profile : `${profile}@${label}` };
      expect(Check(SetName, name)).toBe(true);
      expect(parseSetName(setText(name))).toEqual(name);
      expect(parseSetName(setText(name), namespace)).toEqual(name);
      expect(parseSetName(`${app}/${name.profile}`, namespace)).toEqual(name);
      expect(parseSetName(app, namespace)).toEqual({ namespace, app, profile: "default" });
    }),
  );
});

test.each(["", "A", "a/B", "a/b/c/d", "a//b", "/a", "a/", "a@b", "a@b/c", "a b", "-a", "a/b@c@d", "x".repeat(64)])(
  '"%s" is not a name',
  (text) => {
    expect(() => parseSetName(text)).toThrow(expect.objectContaining({ code: "CLI_ARGUMENT_INVALID" }));
  },
);

test("a namespace that is named twice must be the same", () => {
  expect(() => parseSetName("test/orders/prod", "live")).toThrow("--namespace is live");
});
