import { Command } from '@commander-js/extra-typings';

import { port, quietOption } from './options.js';

export const serveCommand = (signal: AbortSignal) =>
  new Command('serve')
    .description('Serve a page of the runs in a folder: one, or several side by side, up to date while they go on.')
    .argument('<folder>', 'A folder with runs in it or below it, or the folder of one.')
    .option(
      '--port <port>',
      'Listen on this port; 0 is any free one. By default it is the first free one from 6017 on.',
      port,
    )
    .option(
      '--host <host>',
      'Listen on this address of the machine, or on 0.0.0.0 or :: for all: whoever has the printed address and ' +
        'reaches the machine sees the page. By default it is 127.0.0.1, which only this machine reaches.',
    )
    .addOption(quietOption('Print nothing but errors and the address.'))
    .action(async (folder, { port: chosen, host, quiet }) => {
      const { serve } = await import('../jobs/serve/serve.js');
      const note = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
      await serve(folder, {
        port: chosen,
        host,
        signal,
        onNote: note,
        onAddress: (url) => void process.stdout.write(`${url}\n`),
      });
    });
