/** `posthouse completion SHELL`: a script generated from the verbs and options. */
import type { Command } from "commander";
import { own } from "#base";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** The words that may follow `path`: verbs below it, and options. */
interface Place {
  readonly path: string;
  readonly verbs: readonly string[];
  readonly options: readonly string[];
}

export function define(command: Command, { terminal, allVerbs }: VerbContext): void {
  withExamples(command, [
    "source <(posthouse completion bash)",
    "posthouse completion zsh > ~/.zfunc/_posthouse",
    "posthouse completion fish > ~/.config/fish/completions/posthouse.fish",
  ]);
  command.action(async (shell: string) => {
    const script = own({ bash, zsh, fish }, shell);
    if (!script) throw CliErrors.ARGUMENT_INVALID(`"${shell}" is not a supported shell. Use bash, zsh or fish.`);
    terminal.out(script(placesOf(await allVerbs(), "")));
  });
}

function placesOf(command: Command, path: string): Place[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const options = help.visibleOptions(command).flatMap(({ long }) => long ?? []);
  const own = { path, verbs: children.map((child) => child.name()), options };
  const below = children.filter((child) => child.name() !== "help");
  return [own, ...below.flatMap((child) => placesOf(child, path === "" ? child.name() : `${path} ${child.name()}`))];
}

const word = ({ verbs, options }: Place) => [...verbs, ...options].join(" ");

function bash(places: readonly Place[]): string {
  const rows = places.map((place) => `    "${place.path}") words="${word(place)}" ;;`);
  return `# bash completion of posthouse; load it with: source <(posthouse completion bash)
_posthouse() {
  local path="" word words="" current="\${COMP_WORDS[COMP_CWORD]}" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ $word == -* ]] && continue
    case "\${path:+$path }$word" in
${places
  .filter(({ path }) => path !== "")
  .map(({ path }) => `      "${path}") path="${path}" ;;`)
  .join("\n")}
    esac
  done
  case "$path" in
${rows.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _posthouse posthouse
`;
}

/** zsh runs the bash completion, so that both stay equal. */
function zsh(places: readonly Place[]): string {
  return `#compdef posthouse
autoload -U +X bashcompinit && bashcompinit
${bash(places)}`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, verbs, options }) => {
    const seen = path === "" ? "__fish_use_subcommand" : `'__posthouse_at "${path}"'`;
    return [
      ...verbs.map((verb) => `complete -c posthouse -f -n ${seen} -a ${verb}`),
      ...options.map((option) => `complete -c posthouse -n ${seen} -l ${option.slice(2)}`),
    ];
  });
  return `# fish completion of posthouse
function __posthouse_at
  set -l words (commandline -opc)
  set -l plain (string match -v -- '-*' $words[2..-1])
  string match -q -- "$argv[1]*" (string join ' ' $plain)
end
${lines.join("\n")}
`;
}
