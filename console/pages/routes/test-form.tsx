/** The form of the tester. */
import { Play } from "lucide";
import type { Signal } from "@preact/signals";
import { Button } from "../../components/button.tsx";
import { Segmented, SelectField, TextField } from "../../components/field.tsx";
import { setQuery, useQuery } from "../../data/location.ts";
import { headersOf, isSecretHeader, TEST_METHODS, type TestForm, type TestSecrets } from "./core/test-request.ts";
import { testText } from "./text-test.ts";

interface TestFormProps {
  readonly form: Signal<TestForm>;
  readonly secrets: Signal<TestSecrets>;
  readonly hasDraft: boolean;
  readonly isBusy: boolean;
  readonly onRun: () => Promise<void>;
}

export function TestFormView({ form, secrets, hasDraft, isBusy, onRun }: TestFormProps) {
  const text = testText();
  const [by] = useQuery("by");
  const change = (next: Partial<TestForm>) => (form.value = { ...form.value, ...next });
  const { method, url, headers } = form.value;
  const hasSecret = headersOf(headers).some(({ name }) => isSecretHeader(name));
  return (
    <form
      class="route-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (url.trim() !== "") void onRun();
      }}
    >
      <div class="route-request">
        <SelectField
          label={text.method}
          value={method}
          options={[...new Set([...TEST_METHODS, method])].map((one) => [one, one] as const)}
          onChange={(next) => change({ method: next })}
        />
        <TextField
          label={text.url}
          isMono
          isRequired
          placeholder="http://shop.example.com/orders/1"
          hint={text.urlHint}
          value={url}
          onInput={(next) => change({ url: next })}
        />
      </div>
      <TextField
        label={text.headers}
        isMono
        lines={3}
        hint={hasSecret ? text.secretHeader : text.headersHint}
        value={headers}
        onInput={(next) => change({ headers: next })}
      />
      <MoreFields form={form} secrets={secrets} />
      <div class="actions">
        <Button kind="primary" type="submit" icon={Play} isDisabled={url.trim() === "" || isBusy}>
          {isBusy ? text.running : text.run}
        </Button>
        {hasDraft && (
          <Segmented
            label={text.by}
            value={by === "draft" ? "draft" : ""}
            options={[
              ["", text.byReleased],
              ["draft", text.byDraft],
            ]}
            onChange={(next) => setQuery({ by: next })}
          />
        )}
      </div>
    </form>
  );
}

function MoreFields({ form, secrets }: Pick<TestFormProps, "form" | "secrets">) {
  const text = testText();
  const change = (next: Partial<TestForm>) => (form.value = { ...form.value, ...next });
  const { bearer, apiKey } = secrets.value;
  const { peer, listener, zone } = form.value;
  return (
    <details class="route-more" open={bearer !== "" || apiKey !== "" || zone !== ""}>
      <summary>{text.more}</summary>
      <TextField
        label={text.bearer}
        isMono
        type="password"
        placeholder="eyJ…"
        hint={text.secretHint}
        value={bearer}
        onInput={(next) => (secrets.value = { ...secrets.value, bearer: next })}
      />
      <TextField
        label={text.apiKey}
        isMono
        type="password"
        hint={text.secretHint}
        value={apiKey}
        onInput={(next) => (secrets.value = { ...secrets.value, apiKey: next })}
      />
      <div class="route-pair">
        <TextField label={text.peer} isMono value={peer} onInput={(next) => change({ peer: next })} />
        <TextField label={text.listener} isMono value={listener} onInput={(next) => change({ listener: next })} />
        <TextField label={text.zone} isMono value={zone} onInput={(next) => change({ zone: next })} />
      </div>
    </details>
  );
}
