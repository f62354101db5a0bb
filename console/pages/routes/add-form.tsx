/** A form for a simple route: it adds the route to the text of gateway.yaml and opens the editor. */
import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import type { ServiceList } from "#registry/api";
import { Button } from "../../components/button.tsx";
import { CommandBlock } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/field.tsx";
import { Loaded } from "../../components/states.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { linkTo, useNamespace } from "../../data/location.ts";
import { useResource } from "../../data/resource.ts";
import { commonText } from "../../text/common.ts";
import { type NewRoute, withRoute } from "./core/add-route.ts";
import { changeDraft, draftOf, type GatewaySource, useGatewaySource } from "./source.ts";
import { editText } from "./text-edit.ts";

interface AddRouteProps {
  readonly providers: readonly string[];
  readonly onClose: () => void;
}

const NAME = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$/;
const SERVICE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function AddRoute({ providers, onClose }: AddRouteProps) {
  const text = editText();
  const [namespace] = useNamespace();
  const source = useGatewaySource();
  const { route: go } = useLocation();
  const route = useSignal<NewRoute>({ name: "", prefix: "/", service: "", provider: undefined });
  const isRefused = useSignal(false);
  const { name, prefix, service } = route.value;
  const isReady = NAME.test(name) && prefix.startsWith("/") && SERVICE.test(service) && source.data !== undefined;
  const add = (from: GatewaySource) => {
    const next = withRoute(draftOf(namespace)?.text ?? from.text, route.value);
    isRefused.value = next === undefined;
    if (next === undefined) return;
    changeDraft(namespace, next, from);
    onClose();
    go(linkTo("/routes/edit"));
  };
  return (
    <Dialog
      title={text.addTitle}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{commonText().cancel}</Button>
          <Button kind="primary" type="submit" form="add-route" needs="config:draft" isDisabled={!isReady}>
            {text.addConfirm}
          </Button>
        </>
      }
    >
      <Loaded of={source} rows={3}>
        {(from) => (
          <form
            id="add-route"
            class="route-form"
            onSubmit={(event) => {
              event.preventDefault();
              if (isReady) add(from);
            }}
          >
            <p class="muted">{text.addText}</p>
            <RouteFields
              route={route.value}
              providers={providers}
              onChange={(next) => (route.value = { ...route.value, ...next })}
            />
            {isRefused.value && (
              <p class="route-refused" role="alert">
                {text.cannotAdd}
              </p>
            )}
            {isReady && (
              <>
                <p class="muted">{text.sameCommand}</p>
                <CommandBlock command={commandOf(route.value, namespace)} />
              </>
            )}
          </form>
        )}
      </Loaded>
    </Dialog>
  );
}

function commandOf({ name, prefix, service, provider }: NewRoute, namespace: string): string {
  return cliOf(
    "route",
    "add",
    name,
    "--path-prefix",
    prefix,
    "--service",
    service,
    ...(provider === undefined ? [] : ["--jwt", provider]),
    ...namespaceWords(namespace),
  );
}

interface RouteFieldsProps {
  readonly route: NewRoute;
  readonly providers: readonly string[];
  readonly onChange: (next: Partial<NewRoute>) => void;
}

function RouteFields({ route, providers, onChange }: RouteFieldsProps) {
  const text = editText();
  const [namespace] = useNamespace();
  const { data } = useResource<ServiceList>(`/v1/services?namespace=${encodeURIComponent(namespace)}`);
  const { name, prefix, service, provider = "" } = route;
  const isWrong = (value: string, form: RegExp) => value !== "" && !form.test(value);
  return (
    <>
      <TextField
        label={text.routeName}
        isRequired
        isMono
        value={name}
        placeholder="orders"
        error={isWrong(name, NAME) ? text.nameInvalid : undefined}
        onInput={(value) => onChange({ name: value.trim() })}
      />
      <TextField
        label={text.prefix}
        isRequired
        isMono
        value={prefix}
        hint={text.prefixHint}
        error={prefix.startsWith("/") ? undefined : text.prefixInvalid}
        onInput={(value) => onChange({ prefix: value.trim() })}
      />
      <TextField
        label={text.service}
        isRequired
        isMono
        value={service}
        placeholder="orders"
        suggestions={(data?.services ?? []).map((one) => one.service)}
        error={isWrong(service, SERVICE) ? text.serviceInvalid : undefined}
        onInput={(value) => onChange({ service: value.trim() })}
      />
      {providers.length > 0 && (
        <SelectField
          label={text.token}
          value={provider}
          options={[["", text.tokenNone], ...providers.map((one) => [one, one] as const)]}
          onChange={(value) => onChange({ provider: value === "" ? undefined : value })}
        />
      )}
    </>
  );
}
