import { Argument, Command, type Option } from '@commander-js/extra-typings';

import { completions } from './completions.js';

export const completionCommand = () =>
  new Command('completion')
    .description('Print a script that lets a shell complete commands, options and their choices.')
    .addArgument(new Argument('<shell>', 'The shell.').choices(['bash', 'zsh', 'fish'] as const))
    .addHelpText(
      'after',
      '\nbash:  eam completion bash >> ~/.bashrc\nzsh:   eam completion zsh > ~/.zfunc/_eam (a folder in fpath)\n' +
        'fish:  eam completion fish > ~/.config/fish/completions/eam.fish',
    )
    .action((shell, _, command) => {
      const program = command.parent!;
      const commands = program.commands.map((each) => ({
        name: each.name(),
        text: each.description(),
        options: each
          .createHelp()
          .visibleOptions(each as never)
          .map(describe),
      }));
      process.stdout.write(completions[shell](program.name(), commands));
    });

const describe = ({ long, description, required, argChoices }: Option) => ({
  flag: long!,
  text: description,
  takesValue: required,
  choices: argChoices ?? [],
});
