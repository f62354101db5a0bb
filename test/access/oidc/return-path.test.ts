/** Where a browser goes after the sign-in: a page of the console, whatever the address asks for. */
import { expect, test } from "vitest";
import { returnPath } from "../../../kernel/access/core/return-path.ts";

test("pages of the console are kept, with their query and fragment", () => {
  for (const path of [
    "/ui",
    "/ui/",
    "/ui/services?namespace=team-a&q=a%20b",
    "/ui/device?code=BCDF-GHJK",
    "/ui/config/prod/orders/default#values",
  ]) {
    expect(returnPath(path)).toBe(path);
  }
});

test("everything else becomes the first page", () => {
  for (const path of [
    undefined,
    "",
    "/",
    "/v1/tokens",
    "/uix",
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/ui/",
    "javascript:alert(1)",
    "/ui//evil.example",
    "/ui/\\evil.example",
    "/ui/../v1/tokens",
    "/ui/%2e%2e/v1/tokens",
    "/ui/api/session",
    "/ui/./api/session",
    "/ui/a\nb",
    "/ui/a\tb",
    "/ui/a b",
    "/ui/中",
    `/ui/${"x".repeat(1_100)}`,
  ]) {
    expect(returnPath(path), path).toBe("/ui/");
  }
});
