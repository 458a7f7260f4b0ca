import { Command } from '@commander-js/extra-typings';

import { atLeastZero, deviceOverride, jsonOption, setOption } from './options.js';

export const planCommand = () =>
  new Command('plan')
    .description(
      'Print the memory and the network evaluations that a fine-tuning takes, without loading it; ' +
        'fail where the device or a disk is too small.',
    )
    .argument(
      '[config]',
      "The configuration of `eam finetune`, or a run's directory. With --like it is by default the one that comes " +
        'with the package.',
    )
    .addOption(setOption('batch=8'))
    .addOption(deviceOverride("the configuration's"))
    .option('--like <model>', 'Plan for this published model before it is downloaded, on a GPU unless told otherwise.')
    .option(
      '--memory <GiB>',
      'Plan for this much free memory, in GiB. By default it is what the device has free.',
      atLeastZero,
    )
    .addOption(jsonOption())
    .action(async (path, { set, device, like, memory, json }) => {
      const { readConfig } = await import('./read-job.js');
      const { memoryIfThere } = await import('../jobs/plan/free-memory.js');
      const { needed, plan } = await import('../jobs/plan/plan.js');
      const { refuseSmall } = await import('../jobs/plan/check.js');
      const { refuseFull } = await import('../jobs/plan/disk.js');
      const { planTable, roomText } = await import('../jobs/plan/table.js');
      const { shippedPlan } = await import('../jobs/plan/shipped.js');
      const config = path ?? shippedPlan(like);
      const settings = device === undefined ? set : [...set, `device=${JSON.stringify(device)}`];
      const given = memory === undefined ? undefined : { free: memory * 2 ** 30, total: memory * 2 ** 30 };
      const wanted = await readConfig<Parameters<typeof plan>[0]>(config, settings);
      const planned = await plan(wanted, { like, memory: given?.free });
      const asked = given ?? (await memoryIfThere(planned.device));
      const found = 'unknown' in asked ? undefined : asked;
      if (json) {
        const fits = found ? needed(planned) <= found.free : null;
        process.stdout.write(`${JSON.stringify({ ...planned, needed: needed(planned), ...found, fits }, null, 2)}\n`);
      } else {
        if (path === undefined) process.stderr.write(`for ${config}\n`);
        process.stdout.write(`${planTable(planned)}\n${planned.memory ? `\n${roomText(planned, asked)}\n` : ''}`);
      }
      if (found) refuseSmall(planned, found);
      refuseFull(planned.disk);
    });
