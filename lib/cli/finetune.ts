import { InvalidArgumentError, Option } from '@commander-js/extra-typings';

import { allowOption, port } from './options.js';
import { jobCommand } from './job-command.js';

export const finetuneCommand = (signal: AbortSignal) =>
  jobCommand('finetune', "Fine-tune a model's adapter towards rewards, and write a report.")
    .addOption(allowOption())
    .addOption(
      new Option(
        '--serve [address]',
        'Serve a page that shows the run while it goes on, with buttons to stop it and to write a checkpoint. The ' +
          'address is a port, or a host and a port as in 0.0.0.0:6017. By default it is the first free port from ' +
          '6017 on, and only this machine reaches it.',
      ).argParser(addressOf),
    )
    .action(async (path, flags) => {
      const { readJob } = await import('./read-job.js');
      const { finetune } = await import('../jobs/finetune/finetune.js');
      const { evaluationText } = await import('../jobs/report/evaluation-table.js');
      const { config, options } = await readJob<Parameters<typeof finetune>[0]>(path, 'config.json', flags, signal);
      const { evaluation } = await finetune(config, { ...options, ...servedAt(flags.serve) });
      if (evaluation && !flags.quiet) process.stdout.write(`${evaluationText(evaluation)}\n`);
    });

/** Notes the page's address even with --quiet: without the address, nobody could open the page. */
function servedAt(address: Address | true | undefined) {
  if (address === undefined) return {};
  const onAddress = (url: string) => void process.stderr.write(`live page: ${url}\n`);
  return { serve: { ...(address === true ? {} : address), onAddress } };
}

interface Address {
  host?: string;
  port: number;
}

/** `6017`, `gpu-box:6017` or `[::1]:6017`. */
function addressOf(text: string): Address {
  const [, host, digits] = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d+)$/.exec(text) ?? [];
  if (digits === undefined)
    throw new InvalidArgumentError('Expected a port, or host:port; the configuration comes before --serve.');
  return { port: port(digits), ...(host !== undefined && { host: host.replace(/^\[|\]$/g, '') }) };
}
