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
        words: each.registeredArguments[0]?.argChoices ?? [],
        options: each
          .createHelp()
          .visibleOptions(each as never)
          .map(describe),
      }));
      // Commander's own, which is not among the commands.
      const words = commands.map(({ name }) => name);
      const help = { name: 'help', text: 'Print the help of a command.', words, options: [] };
      process.stdout.write(completions[shell](program.name(), [...commands, help]));
    });

const describe = ({ long, description, required, argChoices }: Option) => ({
  flag: long!,
  text: description,
  takesValue: required,
  choices: argChoices ?? [],
});
