/** Names that narrow what policies grant, as people write them: between commas. */
import { TextField } from "../../components/field.tsx";
import { wrongName } from "./core.ts";
import { accessText } from "./text.ts";

interface LimitFieldProps {
  readonly label: string;
  readonly hint: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

export function LimitField({ label, hint, value, onInput }: LimitFieldProps) {
  const wrong = wrongName(value);
  return (
    <TextField
      label={label}
      isMono
      value={value}
      hint={hint}
      error={wrong === undefined ? undefined : accessText().limitWrong(wrong)}
      onInput={onInput}
    />
  );
}
