import { Command, Option } from '@commander-js/extra-typings';

import { verifiableExample } from '../rewards/examples.js';
import { deviceOption, jsonOption } from './options.js';

export const verifyCommand = (signal: AbortSignal) =>
  new Command('verify')
    .description('Compare what the native networks compute with the goldens in a directory; fail where one differs.')
    .argument('<directory>', 'A published model with a goldens.safetensors beside its parts.')
    .option('--reward <name>', `The directory is that of this reward, such as ${verifiableExample}.`)
    .option('--tower <directory>', 'Take the features that the reward reads from the model in this directory.')
    .addOption(deviceOption('cpu'))
    .addOption(
      new Option('--dtype <dtype>', 'Compute in this type.')
        .choices(['float32', 'float64', 'bfloat16', 'float16'] as const)
        .default('float32' as const),
    )
    .addOption(jsonOption())
    .action(async (directory, { json, ...flags }) => {
      const { chooseDevice } = await import('../runtime/device.js');
      const { tolerances, verify } = await import('../jobs/verify/verify.js');
      const { findingsJson, refuseFailed, summarize, summaryLine, tableHeader, tableLine } = await import(
        '../jobs/verify/table.js'
      );
      const options = { ...flags, device: chooseDevice(flags.device).device };
      const findings = [];
      const print = (line: string) => void (json || process.stdout.write(`${line}\n`));
      const onNote = (message: string) => void process.stderr.write(`${message}\n`);
      const tolerance = tolerances[options.dtype];
      for await (const finding of verify(directory, { ...options, tolerance, onNote })) {
        signal.throwIfAborted();
        // Not before something was found: where there is no such model, that alone is said.
        if (findings.length === 0) print(tableHeader);
        findings.push(finding);
        print(tableLine(finding));
      }
      const summary = summarize(findings);
      print(summaryLine(summary, tolerance));
      const result = { directory, ...options, tolerance, ...summary, goldens: findingsJson(findings) };
      if (json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      refuseFailed(directory, summary, tolerance);
    });
