import { Command } from '@commander-js/extra-typings';

import { verifiableExample } from '../rewards/examples.js';
import { confirmer } from './confirm.js';
import { quietOption, repeatable } from './options.js';

export const fetchCommand = (signal: AbortSignal) =>
  new Command('fetch')
    .description(
      "Fetch a model from the Hugging Face hub into the cache that Python shares, or a published reward's files, and " +
        'print the folder. Only what a task needs is fetched; a try that was cut is gone on from; sizes and hashes ' +
        'are checked.',
    )
    .argument(
      '<name>',
      'A model as the hub names it, user/name, or the address of its page, or a published reward, such as ' +
        `${verifiableExample}; or a data set, datasets/user/name, with --file.`,
    )
    .option('--revision <revision>', 'Fetch this branch, tag or commit. By default it is main.')
    .option('--to <directory>', "Fetch into this folder. By default it is the hub's cache: HF_HUB_CACHE, HF_HOME.")
    .option(
      '--variant <name>',
      'Take the weights of this variant, such as fp16, where a part of the model has it. By default they are the ' +
        'plain ones.',
    )
    .addOption(repeatable('--file <path>', 'Fetch this file of the repository, and no others.'))
    .option('--yes', 'Fetch a gigabyte or more without asking.')
    .addOption(quietOption())
    .addHelpText(
      'after',
      '\nThe environment: HF_TOKEN for models that ask for a login, HF_ENDPOINT for another hub, HF_HUB_OFFLINE=1 to' +
        '\nask none, HTTPS_PROXY, HTTP_PROXY and NO_PROXY.',
    )
    .action(async (name, { file: files, quiet, ...options }) => {
      const { fetchModel } = await import('../jobs/hub/fetch.js');
      const { percentNotes } = await import('../jobs/hub/progress.js');
      const report = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
      const { directory } = await fetchModel(name, {
        ...options,
        files,
        signal,
        report,
        onBytes: percentNotes(report),
        confirm: confirmer(signal),
      });
      process.stdout.write(`${directory}\n`);
    });
