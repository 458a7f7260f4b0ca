// Scripts of completion for shells. Where nothing is known of a word, files are completed.

interface CompletedOption {
  /** Such as `--solver`. */
  flag: string;
  text: string;
  takesValue: boolean;
  choices: readonly string[];
}

interface CompletedCommand {
  name: string;
  text: string;
  /** What its first argument may be; empty where that is anything. */
  words: readonly string[];
  options: readonly CompletedOption[];
}

/** The first sentence, or its part before a semicolon, in single quotes, for all three shells. */
const quoted = (text: string): string =>
  `'${text
    .split(/(?<=\.) |; /, 1)[0]!
    .replaceAll("'", '’')
    .replaceAll('\\', '')}'`;

function bash(program: string, commands: readonly CompletedCommand[]): string {
  const values = commands.flatMap(({ name, options }) =>
    options
      .filter(({ choices }) => choices.length)
      .map(({ flag, choices }) => `    '${name} ${flag}') words='${choices.join(' ')}' ;;`),
  );
  const flags = commands.map(
    ({ name, options }) => `      ${name}) words='${options.map(({ flag }) => flag).join(' ')}' ;;`,
  );
  const words = commands
    .filter((command) => command.words.length)
    .map((command) => `      ${command.name}) words='${command.words.join(' ')}' ;;`);
  return `# Completion of ${program} for bash.
_${program}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=''
  if ((COMP_CWORD == 1)); then
    words='${commands.map(({ name }) => name).join(' ')}'
  else case "\${COMP_WORDS[1]} $previous" in
${values.join('\n')}
    *) if [[ $current == -* ]]; then case "\${COMP_WORDS[1]}" in
${flags.join('\n')}
    esac; elif ((COMP_CWORD == 2)); then case "\${COMP_WORDS[1]}" in
${words.join('\n')}
    esac; fi ;;
  esac; fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -o bashdefault -F _${program} ${program}
`;
}

function zsh(program: string, commands: readonly CompletedCommand[]): string {
  const bracketed = (text: string) => quoted(text).slice(1, -1).replaceAll('[', '(').replaceAll(']', ')');
  const named = commands.map(({ name, text }) => `    ${quoted(`${name}:${text}`)}`);
  const cases = commands.map(({ name, words, options }) => {
    const specs = options.map(({ flag, text, takesValue, choices }) => {
      const value = choices.length ? `:value:(${choices.join(' ')})` : takesValue ? ':value:_files' : '';
      return `      '*${flag}[${bracketed(text).replaceAll(':', '\\:')}]${value}'`;
    });
    specs.push(words.length ? `      '1:word:(${words.join(' ')})'` : "      '*:file:_files'");
    return `  ${name}) _arguments \\\n${specs.join(' \\\n')} ;;`;
  });
  return `#compdef ${program}
# Completion of ${program} for zsh.
_${program}() {
  local -a commands=(
${named.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _${program} ]]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}

function fish(program: string, commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, text, words, options }) => [
    `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d ${quoted(text)}`,
    ...(words.length
      ? [`complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -f -a '${words.join(' ')}'`]
      : []),
    ...options.map(({ flag, text: says, takesValue, choices }) => {
      const value = choices.length ? ` -x -a '${choices.join(' ')}'` : takesValue ? ' -r' : '';
      const seen = `-n '__fish_seen_subcommand_from ${name}'`;
      return `complete -c ${program} ${seen} -l ${flag.slice(2)}${value} -d ${quoted(says)}`;
    }),
  ]);
  return `# Completion of ${program} for fish.\n${lines.join('\n')}\n`;
}

export const completions = { bash, zsh, fish };
