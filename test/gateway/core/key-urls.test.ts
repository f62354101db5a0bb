/** Where the keys of an identity provider may come from, whether a config or a discovery names it. */
import { expect, test } from "vitest";
import { keyUrlProblem } from "../../../gateway/core/key-urls.ts";

test.each(["https://idp.example/keys", "http://127.0.0.1:80/keys", "http://[::1]/keys", "https://idp.example/?a=1"])(
  "%s may be asked",
  (url) => expect(keyUrlProblem(url)).toBeUndefined(),
);

test.each([
  "keys",
  "file:///keys",
  "ftp://idp.example/keys",
  "http://idp.example/keys",
  "https://a:b@idp.example/keys",
  "https://169.254.169.254/keys",
  "http://169.254.169.254/keys",
  "https://[::ffff:a9fe:a9fe]/keys",
  "https://100.100.100.200/keys",
])("%s may not", (url) => expect(keyUrlProblem(url)).toEqual(expect.any(String)));
