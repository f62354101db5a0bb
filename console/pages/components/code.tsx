/** Samples of code and differences for the page of components. */
import { useSignal } from "@preact/signals";
import { CodeEditor, type JsonSchema } from "../../components/code-editor.tsx";
import { DiffView } from "../../components/diff-view.tsx";
import { Card } from "../../components/layout.tsx";
import { componentsText } from "./text.ts";

const PROPERTIES = "# where orders are stored\ndb.host = db.example\ndb.port = 5432\n";
const YAML = `# sizes of the pool
pool:
  size: 5
  mode: "eager"
  isShared: true
hosts:
${Array.from({ length: 14 }, (_, index) => `  - host-${index}.example`).join("\n")}
timeoutMs: 250
`;
const SCHEMA: JsonSchema = {
  properties: {
    pool: {
      required: ["size"],
      properties: {
        size: { type: "integer", description: "Connections that stay open." },
        mode: { enum: ["eager", "lazy"], description: "When connections are opened." },
        isShared: { type: "boolean" },
      },
    },
    timeoutMs: { type: "integer" },
  },
};

export function CodeSamples() {
  const text = componentsText();
  const value = useSignal(YAML);
  const size = value.value.split("\n").findIndex((line) => /^ {2}size: 0/.test(line));
  return (
    <>
      <Card title={text.editor}>
        <CodeEditor
          label="app.yaml"
          format="yaml"
          value={value.value}
          onChange={(next) => (value.value = next)}
          schema={SCHEMA}
          problems={size < 0 ? [] : [{ line: size + 1, column: 9, message: "must be >= 1" }]}
          maxHeight="20rem"
        />
        <CodeEditor label="db.properties" format="properties" value={PROPERTIES} />
      </Card>
      <Card title={text.differences}>
        <DiffView
          format="yaml"
          before={YAML}
          after={YAML.replace("size: 5", "size: 9").replace("  - host-13.example\n", "")}
        />
      </Card>
    </>
  );
}
