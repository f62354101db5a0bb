/** The policy of a service: read as JSON, edited in a dialog. */
import { useSignal } from "@preact/signals";
import type { ServicePolicy, ServiceView } from "#registry/api";
import { Button } from "../../components/button.tsx";
import { CodeEditor } from "../../components/code-editor.tsx";
import { ActionDialog } from "../../components/dialog.tsx";
import { Card } from "../../components/layout.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import type { Resource } from "../../data/resource.ts";
import { jsonProblem } from "./core.ts";
import { servicesText } from "./text.ts";

const NEEDS = "registry:policies";

interface PolicyProps {
  readonly namespace: string;
  readonly service: string;
  readonly state: Resource<ServiceView>;
}

export function Policy({ namespace, service, state }: PolicyProps) {
  const text = servicesText();
  const open = useSignal<"edit" | "delete" | undefined>(undefined);
  const policy = state.data?.policy ?? {};
  const isEmpty = Object.keys(policy).length === 0;
  const close = () => (open.value = undefined);
  return (
    <Card
      title={text.viewPolicy}
      actions={
        <>
          {!isEmpty && (
            <Button kind="danger" needs={NEEDS} onClick={() => (open.value = "delete")}>
              {text.policyDelete}
            </Button>
          )}
          <Button needs={NEEDS} onClick={() => (open.value = "edit")}>
            {text.policyEdit}
          </Button>
        </>
      }
    >
      <p class="muted">{text.policyText}</p>
      {isEmpty ? (
        <p>{text.policyNone}</p>
      ) : (
        <CodeEditor label={text.policyLabel} format="json" value={JSON.stringify(policy, null, 2)} />
      )}
      {open.value === "edit" && (
        <EditPolicy namespace={namespace} service={service} policy={policy} state={state} onClose={close} />
      )}
      {open.value === "delete" && (
        <ActionDialog
          title={text.policyTitle(service)}
          confirm={text.policyDelete}
          isDangerous
          needs={NEEDS}
          call={{ method: "DELETE", path: policyPath(namespace, service) }}
          cli={cliOf("services", "policy", "rm", service, ...namespaceWords(namespace))}
          done={text.policyDeleted}
          onDone={state.reload}
          onClose={close}
        >
          <p>{text.policyDeleteText}</p>
        </ActionDialog>
      )}
    </Card>
  );
}

function policyPath(namespace: string, service: string): string {
  return pathOf`/v1/services/${service}/policy?namespace=${namespace}`;
}

/** A policy to begin with: the default, spelled out. */
const SAMPLE: ServicePolicy = { minHealthyPercent: 50 };

interface EditPolicyProps {
  readonly namespace: string;
  readonly service: string;
  readonly policy: ServicePolicy;
  readonly state: Resource<ServiceView>;
  readonly onClose: () => void;
}

function EditPolicy({ namespace, service, policy, state, onClose }: EditPolicyProps) {
  const text = servicesText();
  const initial = Object.keys(policy).length === 0 ? SAMPLE : policy;
  const draft = useSignal(JSON.stringify(initial, null, 2));
  const problem = jsonProblem(draft.value);
  return (
    <ActionDialog
      title={text.policyTitle(service)}
      confirm={text.policySave}
      needs={NEEDS}
      width="46rem"
      isReady={problem === undefined}
      call={{
        method: "PUT",
        path: policyPath(namespace, service),
        body: problem === undefined ? (JSON.parse(draft.value) as unknown) : {},
      }}
      cli={cliOf("services", "policy", "set", service, "./policy.json", ...namespaceWords(namespace))}
      done={text.policySaved}
      onDone={state.reload}
      onClose={onClose}
    >
      <p>{text.policyEditText}</p>
      <CodeEditor
        label={text.policyLabel}
        format="json"
        value={draft.value}
        maxHeight="50vh"
        onChange={(value) => (draft.value = value)}
      />
      {problem !== undefined && (
        <p class="bad-text" role="alert">
          {text.invalidJson(problem)}
        </p>
      )}
    </ActionDialog>
  );
}
