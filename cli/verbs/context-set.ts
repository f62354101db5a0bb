/** `posthouse context set NAME`: stores a context. A token comes from standard input or from a file, never from the command line. */
import { type Command, Option } from "commander";
import { resolve } from "node:path";
import { own } from "#base";
import { readContexts, requireContextName, writeContexts } from "../contexts.ts";
import { readAuthorities, requireFingerprint } from "../control-trust.ts";
import { CliErrors } from "../errors.ts";
import { requireNamespace } from "../namespace.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .option("--control-urls <value...>", "URLs of the control plane")
    .addOption(new Option("--token-file <path>", "file that has the token, read at each use").conflicts("token"))
    .option("--token <->", "-: read the token from standard input")
    .option("--namespace <name>", "namespace of commands without --namespace")
    .option("--fingerprint <hex>", "fingerprint of the authority of the control plane, which posthouse up prints there")
    .option("--ca-file <path>", "PEM file of the authorities of the control plane, whose content is stored");
  withExamples(command, [
    "posthouse context set staging --control-urls https://control.staging.example",
    "posthouse context set ci --control-urls http://127.0.0.1:8500 --token-file /run/secrets/posthouse",
    "posthouse context set staging --namespace shop",
    "posthouse context set staging --ca-file /etc/posthouse/ca.pem",
  ]);
  command.action(async (name: string, options: GivenOptions) => {
    requireContextName(name);
    const { controlUrls, tokenFile, token, namespace, fingerprint, caFile } = options as {
      controlUrls?: string[];
    } & Partial<Record<"tokenFile" | "token" | "namespace" | "fingerprint" | "caFile", string>>;
    if (namespace !== undefined) requireNamespace(namespace);
    const urls = controlUrls?.flatMap((text) => text.split(",")).map((text) => text.trim());
    const bad = urls?.find((url) => !/^https?:\/\/[^/\s]+\/?$/.test(url));
    if (bad !== undefined) {
      throw CliErrors.ARGUMENT_INVALID(
        `--control-urls ${bad} is not valid. Use http://HOST:PORT or https://HOST:PORT.`,
      );
    }
    if (token !== undefined && token !== "-") {
      throw CliErrors.ARGUMENT_INVALID(
        "A token on the command line is visible to others. Use --token - and standard input.",
      );
    }
    const file = await readContexts(terminal);
    const before = own(file.contexts, name) ?? {};
    const stored =
      token === "-"
        ? Buffer.from(await terminal.input())
            .toString("utf8")
            .trim()
        : undefined;
    const { token: _token, tokenFile: _tokenFile, ...rest } = before;
    const secret =
      tokenFile !== undefined
        ? { tokenFile: resolve(tokenFile) }
        : stored !== undefined
          ? { token: stored }
          : undefined;
    const entry = {
      ...(secret ? { ...rest, ...secret } : before),
      ...(urls === undefined ? {} : { controlUrls: urls }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(await storedTrust(fingerprint, caFile)),
    };
    await writeContexts(terminal, { current: name, ...file, contexts: { ...file.contexts, [name]: entry } });
    terminal.out(`context ${name} is stored\n`);
  });
}

/** Replaces what the context trusted before. */
async function storedTrust(fingerprint: string | undefined, caFile: string | undefined) {
  if (fingerprint === undefined && caFile === undefined) return {};
  return {
    fingerprint: fingerprint === undefined ? undefined : requireFingerprint(fingerprint),
    ca: caFile === undefined ? undefined : await readAuthorities(caFile),
  };
}
