/** `posthouse cheat [TOPIC]`: commands for common tasks, to be copied. */
import type { Command } from "commander";
import { own } from "#base";
import { CliErrors } from "../errors.ts";
import { paintFor } from "../table.ts";
import type { VerbContext } from "../verb.ts";

const TOPICS: Readonly<Record<string, readonly (readonly [task: string, command: string])[]>> = {
  start: [
    ["run everything on this machine", "posthouse up"],
    ["store the token that the first start prints", "posthouse login --token -"],
    ["look for problems", "posthouse doctor"],
    ["see everything at a glance", "posthouse status"],
  ],
  services: [
    ["list services", "posthouse services ls"],
    ["register an instance", "posthouse services register orders orders-1 127.0.0.1:4001 --http /health"],
    ["follow changes", "posthouse services watch -o ndjson"],
    ["wait until all instances pass", "posthouse health orders --wait 60"],
    ["take an instance out of rotation", "posthouse services drain orders orders-1"],
    ["remove it after a drain", "posthouse services deregister orders orders-1 --drain 30"],
  ],
  config: [
    ["release a key", "posthouse config set orders/prod app.yaml app.yaml --reason 'a larger pool'"],
    ["edit a key", "posthouse config edit orders/prod app.yaml"],
    ["see the last change", "posthouse config diff orders/prod"],
    ["undo it", "posthouse config rollback orders/prod 3"],
    ["release stage by stage", "posthouse config rollout start orders/prod app.yaml app.yaml --percent 10,50 --wait"],
    ["see which instance runs it", "posthouse config status orders/prod --wait 60"],
    ["take it to another environment", "posthouse config promote dev/orders/main --to prod"],
  ],
  gitops: [
    ["see what a folder of resources would change", "posthouse plan -f resources/ --owner platform"],
    ["apply it, and remove what is no longer in it", "posthouse apply -f resources/ --owner platform --prune --yes"],
    ["fail a pipeline on drift", "posthouse diff -f resources/ --owner platform --exit-code"],
  ],
  routes: [
    ["list routes", "posthouse route ls"],
    ["add a route", "posthouse route add orders --path-prefix /orders --service orders"],
    ["see why a request is routed where it is", "posthouse route test GET http://127.0.0.1/orders/1"],
  ],
  access: [
    ["issue a token", "posthouse token create ci --policy viewer --ttl-seconds 86400"],
    ["list tokens", "posthouse token ls"],
    ["revoke one", "posthouse token revoke 0123456789abcdef"],
    [
      "work with several control planes",
      "posthouse context set staging --control-urls https://control.staging.example",
    ],
  ],
};

export function define(command: Command, { terminal }: VerbContext): void {
  command.action((topic: string | undefined) => {
    const chosen = topic === undefined ? Object.keys(TOPICS) : [topic];
    const paint = paintFor(terminal);
    const text = chosen.map((name) => {
      const rows = own(TOPICS, name);
      if (!rows) throw CliErrors.ARGUMENT_INVALID(`"${name}" is not a topic. Use ${Object.keys(TOPICS).join(", ")}.`);
      const lines = rows.map(([task, command]) => `  ${paint("dim", `# ${task}`)}\n  ${command}\n`);
      return `${paint("bold", name)}\n${lines.join("")}`;
    });
    terminal.out(text.join("\n"));
  });
}
