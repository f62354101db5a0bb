/** The gateway's guide: each config in it is one that a gateway takes, and each flag that there is has its line. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GATEWAY_FLAGS, parseGatewayConfig } from "#gateway";
import { projectRoot } from "#test/kit";

const guide = await readFile(join(projectRoot, "docs/guides/gateway.md"), "utf8");

test("each config of the guide is valid", () => {
  const configs = [...guide.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = ""]) => text);
  expect(configs.length).toBeGreaterThanOrEqual(2);
  for (const config of configs) expect(parseGatewayConfig(config).problems).toEqual([]);
});

test("the guide has each flag once, and none that there is not", () => {
  const flags = [...guide.matchAll(/^\| `([A-Z]{2,3})` \|/gm)].map(([, flag]) => flag);
  expect(flags).toHaveLength(new Set(flags).size);
  expect(new Set(flags)).toEqual(new Set(Object.values(GATEWAY_FLAGS)));
});
