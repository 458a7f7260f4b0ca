import { createInterface } from 'node:readline/promises';

import { Command } from '@commander-js/extra-typings';

import { modelOption, positiveInteger, quietOption, repeatable, rewardOption } from './options.js';

export const initCommand = (signal: AbortSignal) =>
  new Command('init')
    .description('Write a configuration of `eam finetune`; ask for the model, the reward, the prompts and the steps.')
    .argument('[file]', 'The .json, .jsonc, .ts or .mts to write. By default it is config.json.', 'config.json')
    .addOption(modelOption('asked for'))
    .addOption(rewardOption('Train towards this'))
    .addOption(repeatable('--prompt <text>', 'Draw this.'))
    .option(
      '--prompts <file>',
      'Read the prompts from this file when the run starts. By default prompts are asked for.',
    )
    .option('--steps <n>', 'Take this many training steps. By default their number is asked for.', positiveInteger)
    .option('--force', 'Replace the file where it is there.')
    .addOption(quietOption())
    .action(async (file, { reward, prompt, prompts, force = false, quiet, ...answers }) => {
      const { init } = await import('../jobs/init/init.js');
      const given = [...(prompts === undefined ? [] : [prompts]), ...prompt];
      const told = {
        ...answers,
        ...(reward.length && { rewards: reward }),
        ...(given.length && { prompts: given }),
      };
      const terminal = process.stdin.isTTY
        ? createInterface({ input: process.stdin, output: process.stderr })
        : undefined;
      // The terminal leaves Ctrl-C to whoever reads lines from it.
      terminal?.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
      try {
        const ask =
          terminal && ((question: string, otherwise?: string) => answer(terminal, question, otherwise, signal));
        const commands = await init(file, told, ask, force);
        const first = [...commands, `eam finetune ${file}`].join('; then ');
        if (!quiet) process.stderr.write(`${file}: to start it: ${first}\n`);
      } finally {
        terminal?.close();
      }
    });

/** An answer, or what stands for an empty one; nothing where the input has ended. */
async function answer(
  terminal: ReturnType<typeof createInterface>,
  question: string,
  otherwise: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const shown = `${question}${otherwise === undefined ? '' : ` [${otherwise}]`}: `;
  // Ctrl-D closes the terminal, and not every Node ends the question with it.
  const ended = new Promise<undefined>((resolve) => terminal.once('close', () => resolve(undefined)));
  const asked = terminal.question(shown, { signal }).catch(() => {
    if (signal.aborted) throw signal.reason;
    return undefined;
  });
  const said = await Promise.race([asked, ended]);
  return said === undefined ? '' : said.trim() || (otherwise ?? '');
}
