/** Form fields with their labels, hints and errors. */
import { Search } from "lucide";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { commonText } from "../text/common.ts";
import { Icon } from "./icon.tsx";

interface FieldProps {
  readonly label: string;
  readonly hint?: string;
  readonly error?: string | undefined;
}

interface TextFieldProps extends FieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: "text" | "password" | "number";
  readonly placeholder?: string;
  readonly isRequired?: boolean;
  readonly autocomplete?: string;
  readonly lines?: number;
  readonly isMono?: boolean;
  /** Whether a dialog that opens with the field puts the focus there. */
  readonly hasFocus?: boolean;
  /** Values that the browser offers. */
  readonly suggestions?: readonly string[];
}

export function TextField(props: TextFieldProps) {
  const id = useId();
  const shared = {
    id,
    value: props.value,
    class: `input ${props.isMono ? "mono" : ""}`,
    placeholder: props.placeholder,
    required: props.isRequired,
    spellcheck: false,
    autocomplete: props.autocomplete ?? "off",
    autofocus: props.hasFocus,
    list: props.suggestions === undefined ? undefined : `${id}-list`,
    "aria-invalid": props.error !== undefined,
    "aria-describedby": `${id}-note`,
    onInput: (event: { readonly currentTarget: { readonly value: string } }) =>
      props.onInput(event.currentTarget.value),
  };
  return (
    <Field {...props} id={id}>
      {props.lines === undefined ? (
        <TextInput type={props.type ?? "text"} shared={shared} />
      ) : (
        <textarea rows={props.lines} {...shared} />
      )}
      {props.suggestions && (
        <datalist id={`${id}-list`}>
          {props.suggestions.map((value) => (
            <option key={value} value={value} />
          ))}
        </datalist>
      )}
    </Field>
  );
}

/** One branch per type, because the types of Preact bind the attributes of an input to its type. */
function TextInput({ type, shared }: { readonly type: "text" | "password" | "number"; readonly shared: object }) {
  if (type === "password") return <input type="password" {...shared} />;
  return type === "number" ? <input type="number" {...shared} /> : <input type="text" {...shared} />;
}

interface SelectFieldProps<Value extends string> extends FieldProps {
  readonly value: Value;
  readonly options: readonly (readonly [value: Value, label: string])[];
  readonly onChange: (value: Value) => void;
}

export function SelectField<Value extends string>(props: SelectFieldProps<Value>) {
  const id = useId();
  return (
    <Field {...props} id={id}>
      <select
        id={id}
        class="select"
        value={props.value}
        onChange={(event) => props.onChange(event.currentTarget.value as Value)}
      >
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </Field>
  );
}

function Field({
  id,
  label,
  hint,
  error,
  children,
}: FieldProps & { readonly id: string; readonly children: ComponentChildren }) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children}
      <span
        id={`${id}-note`}
        class={error === undefined ? "hint" : "error"}
        role={error === undefined ? undefined : "alert"}
      >
        {error ?? hint}
      </span>
    </div>
  );
}

interface SearchFieldProps {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly label?: string;
}

/** A filter above a list. `/` focuses the first one of a page. */
export function SearchField({ value, onInput, label = commonText().filter }: SearchFieldProps) {
  return (
    <label class="search-field">
      <span class="visually-hidden">{label}</span>
      <Icon of={Search} size={14} />
      <input
        type="search"
        class="input"
        data-filter
        value={value}
        placeholder={label}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </label>
  );
}

interface SegmentedProps<Value extends string> {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [value: Value, label: string])[];
  readonly onChange: (value: Value) => void;
}

/** A choice among a few values that are all visible. */
export function Segmented<Value extends string>({ label, value, options, onChange }: SegmentedProps<Value>) {
  return (
    <div class="segmented" role="group" aria-label={label}>
      {options.map(([one, word]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => onChange(one)}>
          {word}
        </button>
      ))}
    </div>
  );
}

interface CheckFieldProps {
  readonly label: string;
  readonly isChecked: boolean;
  readonly onChange: (isChecked: boolean) => void;
}

export function CheckField({ label, isChecked, onChange }: CheckFieldProps) {
  return (
    <label class="check">
      <input type="checkbox" checked={isChecked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}
