/** How a value is stored and read: its format, whether it is a secret, whether placeholders are filled in. */
import type { Item } from "#config-server/api";
import { CheckField, SelectField } from "../../../components/field.tsx";
import { FORMATS, MASK } from "../core/names.ts";
import { setText } from "../set-text.ts";

interface ItemOptionsProps {
  readonly item: Item;
  readonly wasSecret: boolean;
  readonly onChange: (item: Item) => void;
}

export function ItemOptions({ item, wasSecret, onChange }: ItemOptionsProps) {
  const text = setText();
  const { expand, ...plain } = item;
  // A secret whose value is not known here stays a secret: without its value it could not be released in the clear.
  const isFixed = wasSecret && item.value === MASK;
  return (
    <div class="config-options">
      <SelectField
        label={text.format}
        value={item.format}
        options={FORMATS.map((format) => [format, format] as const)}
        onChange={(format) => onChange({ ...item, format })}
      />
      <div class="config-checks">
        <CheckField
          label={text.isExpanded}
          isChecked={expand === true}
          onChange={(isOn) => onChange(isOn ? { ...item, expand: true } : plain)}
        />
        {!isFixed && (
          <CheckField
            label={text.isSecret}
            isChecked={item.secret === true}
            onChange={(secret) => onChange({ ...item, secret })}
          />
        )}
      </div>
    </div>
  );
}
