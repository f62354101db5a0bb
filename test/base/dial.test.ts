/** One decision about every address that may be dialled. Foreign addresses are judged here, and never connected to. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { classOfAddress, OwnListeners } from "#base/address-class";
import { DialErrors, DialGuard, machineAddresses } from "#base/dial";

const guardOf = (loopback: boolean, ...listening: [address: string, port: number][]) => {
  const own = new OwnListeners(machineAddresses);
  for (const [host, port] of listening) own.add({ host, port });
  return new DialGuard({ loopback, own });
};

/** The spellings of an IPv4 address that lead to it. */
const spellings = (address: string): string[] => {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  const hex = [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16)).join(":");
  return [
    address,
    `::ffff:${address}`,
    `[::ffff:${address}]`,
    `::ffff:${hex}`,
    `0:0:0:0:0:ffff:${hex}`,
    `::${address}`,
  ].concat(`64:ff9b::${address}`, `64:FF9B:0::${hex}`);
};

test.each([
  ...["169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"].flatMap(spellings),
  "fe80::1",
  "[fe80::1]",
  "fe80::1%eth0",
  "febf::1",
  "fd00:ec2::254",
  "[FD00:0EC2:0::254]",
  "fd20:ce::254",
])("%s is a metadata address, for every port and whatever the rules", (address) => {
  expect(guardOf(true).refusal(address, 80)).toContain("metadata");
});

test.each(["0.0.0.0", "0.1.2.3", "::", "[::]", "224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1"])(
  "%s is not the address of a host",
  (address) => {
    expect(guardOf(false).refusal(address, 80)).toMatch(/unspecified|loopback/);
  },
);

test.each([...spellings("127.0.0.1"), ...spellings("127.8.9.10"), "::1", "[::1]", "0:0:0:0:0:0:0:1"])(
  "%s is loopback: dialled only where services live on this host, and never at our own port",
  (address) => {
    expect(guardOf(false).refusal(address, 80)).toContain("loopback");
    expect(guardOf(true).refusal(address, 80)).toBeUndefined();
    for (const listened of ["127.0.0.1", "localhost", "0.0.0.0", "::", "::1"]) {
      expect(guardOf(true, [listened, 8501]).refusal(address, 8501)).toContain("posthouse itself");
      expect(guardOf(true, [listened, 8501]).refusal(address, 8502)).toBeUndefined();
    }
  },
);

test("our port is ours at every address of this host, and where it was opened", () => {
  for (const address of machineAddresses()) {
    if (classOfAddress(address) !== "other") continue;
    expect(guardOf(true, ["0.0.0.0", 80]).refusal(address, 80)).toContain("posthouse itself");
  }
  expect(guardOf(false, ["0.0.0.0", 80]).refusal("192.0.2.7", 80)).toBeUndefined();
  expect(guardOf(false, ["192.0.2.7", 80]).refusal("::ffff:192.0.2.7", 80)).toContain("posthouse itself");
});

test("any other address of IPv4 is judged the same in all its spellings, and may be dialled", () => {
  const guard = guardOf(false, ["127.0.0.1", 8500]);
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 1, max: 65_535 }), (address, port) => {
      const verdicts = new Set(spellings(address).map((one) => guard.refusal(one, port)));
      expect(verdicts.size).toBe(1);
    }),
  );
  for (const spelled of ["127.1", "0x7f000001", "0177.0.0.1"]) expect(guard.refusal(spelled, 1)).toContain("loopback");
  for (const address of ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1"]) {
    expect(guard.refusal(address, 8500)).toBeUndefined();
  }
});

test("a name is refused by what it stands for, whether one or all of its addresses are asked for", async () => {
  const ask = (guard: DialGuard, port: number, all = false) =>
    new Promise<Error | null>((resolve) => {
      guard.target("localhost", port).lookup("localhost", { all }, (error) => resolve(error));
    });
  const own = guardOf(true, ["127.0.0.1", 81]);
  const answers = [ask(guardOf(false), 80), ask(guardOf(false), 80, true), ask(own, 81), ask(own, 80)];
  const refused = (await Promise.all(answers)).map((error) => DialErrors.REFUSED.is(error));
  expect(refused).toEqual([true, true, true, false]);
});

test("a port is ours until the last of those who opened it has closed it", () => {
  const own = new OwnListeners(() => []);
  let changes = 0;
  const end = own.onChange(() => changes++);
  const listener = { host: "127.0.0.1", port: 80 };
  const [one, two] = [own.add(listener), own.add(listener)];
  one();
  one();
  expect(own.has("127.0.0.1", 80)).toBe(true);
  two();
  expect([own.has("127.0.0.1", 80), own.list(), changes]).toEqual([false, [], 4]);
  end();
  own.add(listener);
  expect(changes).toBe(4);
});
