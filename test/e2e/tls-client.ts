/** A TLS client that trusts one authority and verifies names: prints the status and the code of the answer. */
import { readFileSync } from "node:fs";
import { get } from "node:https";

const [, , url = "", ca = ""] = process.argv;
get(url, { ca: readFileSync(ca) }, (response) => {
  let text = "";
  response.on("data", (chunk: Buffer) => (text += chunk.toString()));
  response.on("end", () => {
    const { code } = JSON.parse(text) as { code: string };
    process.stdout.write(`${response.statusCode} ${code}\n`);
  });
});
