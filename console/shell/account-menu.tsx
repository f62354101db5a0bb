/** The reader's own settings: language, theme, signing out. */
import { CircleUser, LogOut } from "lucide";
import { useId } from "preact/hooks";
import { sessionState } from "../data/api.ts";
import { signOut } from "../data/session.ts";
import { Icon } from "../components/icon.tsx";
import { Menu } from "../components/menu.tsx";
import { Segmented } from "../components/field.tsx";
import { chooseLanguage, language, LANGUAGES } from "../text/mod.ts";
import { shellText } from "../text/shell.ts";
import { chooseTheme, theme } from "./theme.ts";

export function AccountMenu() {
  const id = useId();
  const text = shellText();
  const state = sessionState.value;
  if (state.kind !== "in") return null;
  return (
    <>
      <button type="button" class="nav-link account" popovertarget={id} aria-haspopup="menu" title={text.account}>
        <Icon of={CircleUser} />
        <span class="word truncate">{text.signedInAs(state.session.name, state.session.policies.join(", "))}</span>
      </button>
      <Menu id={id}>
        <div class="menu-settings" onClick={(event) => event.stopPropagation()}>
          <LanguageChoice />
          <Segmented
            label={text.theme}
            value={theme.value}
            options={[
              ["system", text.theme_system],
              ["light", text.theme_light],
              ["dark", text.theme_dark],
            ]}
            onChange={chooseTheme}
          />
        </div>
        <button type="button" onClick={() => void signOut()}>
          <Icon of={LogOut} />
          {text.signOut}
        </button>
      </Menu>
    </>
  );
}

export function LanguageChoice() {
  return (
    <Segmented
      label={shellText().language}
      value={language.value}
      options={LANGUAGES.map(({ id, name }) => [id, name] as const)}
      onChange={chooseLanguage}
    />
  );
}
