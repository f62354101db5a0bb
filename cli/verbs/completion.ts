/** `posthouse completion SHELL`: a script generated from the verbs and options. Live names come from `posthouse __complete`. */
import type { Command } from "commander";
import { own } from "#base";
import { argumentKinds } from "../argument-kinds.ts";
import { type CommandPage, commandPages } from "../command-tree.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal, allVerbs }: VerbContext): void {
  withExamples(command, [
    "source <(posthouse completion bash)",
    "posthouse completion zsh > ~/.zfunc/_posthouse",
    "posthouse completion fish > ~/.config/fish/completions/posthouse.fish",
  ]);
  command.action(async (shell: string) => {
    const script = own({ bash, zsh, fish }, shell);
    if (!script) throw CliErrors.ARGUMENT_INVALID(`"${shell}" is not a supported shell. Use bash, zsh or fish.`);
    terminal.out(script(commandPages(await allVerbs())));
  });
}

const longsOf = ({ options }: CommandPage) => options.flatMap(({ long }) => long ?? []);
const kindsOf = ({ path, args }: CommandPage) => argumentKinds(path, args).join(" ");

function bash(pages: readonly CommandPage[]): string {
  const valued = new Set(
    pages.flatMap(({ options }) =>
      options.filter(({ takesValue }) => takesValue).flatMap(({ long, short }) => [long ?? [], short ?? []].flat()),
    ),
  );
  const rows = pages.map((page) => {
    const words = [...page.verbs, ...longsOf(page)].join(" ");
    return `    "${page.path}") words="${words}" kinds=(${kindsOf(page)}) ;;`;
  });
  const steps = pages
    .filter(({ path }) => path !== "")
    .map(({ path, spellings }) => `      ${spellings.map((way) => `"${way}"`).join("|")}) path="${path}" ;;`);
  return `# bash completion of posthouse; load it with: source <(posthouse completion bash)
_posthouse() {
  local path="" word words="" current="\${COMP_WORDS[COMP_CWORD]}" i skip="" kind
  local -a kinds=() given=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ -n $skip ]]; then skip=""; continue; fi
    if [[ $word == -* ]]; then
      case " ${[...valued].join(" ")} " in *" $word "*) skip=1 ;; esac
      continue
    fi
    case "\${path:+$path }$word" in
${steps.join("\n")}
      *) given+=("$word") ;;
    esac
  done
  case "$path" in
${rows.join("\n")}
  esac
  kind="\${kinds[\${#given[@]}]}"
  if [[ -n $kind && $kind != - && $current != -* ]]; then
    words+=" $("\${COMP_WORDS[0]}" __complete "$kind" "\${given[@]}" 2>/dev/null | tr '\\n' ' ')"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _posthouse posthouse
`;
}

/** zsh runs the bash completion, so that both stay equal. */
function zsh(pages: readonly CommandPage[]): string {
  return `#compdef posthouse
autoload -U +X bashcompinit && bashcompinit
${bash(pages)}`;
}

function fish(pages: readonly CommandPage[]): string {
  const lines = pages.flatMap((page) => {
    const seen = page.path === "" ? "__fish_use_subcommand" : `'__posthouse_at "${page.path}"'`;
    const kinds = [...new Set(argumentKinds(page.path, page.args).filter((kind) => kind !== "-"))];
    return [
      ...page.verbs.map((verb) => `complete -c posthouse -f -n ${seen} -a ${verb}`),
      ...longsOf(page).map((option) => `complete -c posthouse -n ${seen} -l ${option.slice(2)}`),
      ...kinds.map(
        (kind) =>
          `complete -c posthouse -n ${seen} -a '(posthouse __complete ${kind} (__posthouse_words "${page.path}"))'`,
      ),
    ];
  });
  return `# fish completion of posthouse
function __posthouse_plain
  string match -v -- '-*' (commandline -opc)[2..-1]
end
function __posthouse_at
  string match -q -- "$argv[1]*" (string join ' ' (__posthouse_plain))
end
function __posthouse_words
  set -l plain (__posthouse_plain)
  set -l path (string split ' ' $argv[1])
  printf '%s\\n' $plain[(math (count $path) + 1)..-1]
end
${lines.join("\n")}
`;
}
