/** Where an address leads, however it is spelled. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalAddress, classOfAddress, OwnListeners } from "#base/address-class";

test.each([
  ["127.0.0.1", "loopback"],
  ["127.255.1.2", "loopback"],
  ["127.1", "loopback"],
  ["2130706433", "loopback"],
  ["0x7f000001", "loopback"],
  ["0177.0.0.1", "loopback"],
  ["0.0.0.0", "loopback"],
  ["0", "loopback"],
  ["::", "loopback"],
  ["::1", "loopback"],
  ["[::1]", "loopback"],
  ["0:0:0:0:0:0:0:1", "loopback"],
  ["::1%lo", "loopback"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:7f00:1", "loopback"],
  ["::127.0.0.1", "loopback"],
  ["::ffff:0.0.0.0", "loopback"],
  ["64:ff9b::7f00:1", "loopback"],
  ["64:ff9b:1::7f00:1", "loopback"],
  ["2002:7f00:1::", "loopback"],
  ["169.254.1.1", "link-local"],
  ["fe80::1%eth0", "link-local"],
  ["64:ff9b::a9fe:101", "link-local"],
  ["169.254.169.254", "metadata"],
  ["100.100.100.200", "metadata"],
  ["168.63.129.16", "metadata"],
  ["::ffff:168.63.129.16", "metadata"],
  ["::ffff:100.100.100.200", "metadata"],
  ["64:ff9b::a83f:8110", "metadata"],
  ["2002:6464:64c8::1", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["FD00:0EC2:0::0254", "metadata"],
  ["fd20:ce::254", "metadata"],
  ["10.0.0.1", "other"],
  ["128.0.0.1", "other"],
  ["100.100.100.201", "other"],
  ["2001:db8::1", "other"],
  ["::ffff:10.0.0.1", "other"],
  ["localhost", undefined],
  ["127.0.0.1.example", undefined],
  ["", undefined],
])("%s is %s", (text, expected) => {
  expect(classOfAddress(text)).toBe(expected);
});

test("an IPv4 address has the same class inside each IPv6 address that contains it", () => {
  const interesting = fc.constantFrom("127.0.0.1", "127.9.9.9", "169.254.7.7", "100.100.100.200", "168.63.129.16");
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), interesting), (address) => {
      const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
      const high = ((a << 8) | b).toString(16);
      const low = ((c << 8) | d).toString(16);
      const spelled = [`::ffff:${high}:${low}`, `64:ff9b::${high}:${low}`, `2002:${high}:${low}::1`];
      for (const text of spelled) expect(classOfAddress(text), text).toBe(classOfAddress(address));
    }),
  );
});

test("a port of ours on an address of this machine is ours; another machine's port is not", () => {
  const own = new OwnListeners(() => ["127.0.0.1", "10.0.0.7", "fe80::7"]);
  const remove = own.add({ host: "127.0.0.1", port: 8500 });
  own.add({ host: "192.0.2.1", port: 8080 });
  for (const address of ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.0.0.7", "fe80::7%eth0"]) {
    expect(own.has(address, 8500), address).toBe(true);
    expect(own.has(address, 8501), address).toBe(false);
  }
  expect(own.has("10.0.0.8", 8500)).toBe(false);
  expect(own.has("192.0.2.1", 8080)).toBe(true);
  expect(own.has("localhost", 8500)).toBe(false);
  remove();
  expect(own.has("127.0.0.1", 8500)).toBe(false);
});

test("an address has one canonical spelling", () => {
  expect(["[::FFFF:10.0.0.1]", "10.0.0.1", "10.1", "::A", "fe80::1%2", "x"].map(canonicalAddress)).toEqual([
    "10.0.0.1",
    "10.0.0.1",
    "10.0.0.1",
    "::a",
    "fe80::1",
    undefined,
  ]);
});
