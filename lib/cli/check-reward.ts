import { existsSync } from 'node:fs';

import { Command } from '@commander-js/extra-typings';

import { EamError } from '../errors.js';
import { rewardExamples } from '../rewards/examples.js';
import { deviceOption, jsonOption, positiveInteger } from './options.js';

export const checkRewardCommand = (signal: AbortSignal) =>
  new Command('check-reward')
    .description("Compare a reward's gradient with finite differences; fail where it is wrong.")
    .argument(
      '<reward>',
      `A JavaScript module, or a reward such as ${rewardExamples[0]}, whose directory may be a name on the hub, ` +
        'user/name.',
    )
    .option(
      '--prompt <text...>',
      'Score images with these prompts, an image each. By default there are two, "0" and "1".',
    )
    .option('--channels <n>', 'Images have this many channels. By default they have 3.', positiveInteger)
    .option('--width <pixels>', 'Images are this wide. By default they are 64 pixels wide.', positiveInteger)
    .option('--height <pixels>', 'Images are this high. By default they are 64 pixels high.', positiveInteger)
    .addOption(deviceOption('cpu'))
    .addOption(jsonOption())
    .action(async (text, flags) => {
      const { chooseDevice } = await import('../runtime/device.js');
      const { createRewardList, parseReward } = await import('../rewards/registry.js');
      const { checkReward } = await import('../jobs/check-reward/check-reward.js');
      const { checkTable } = await import('../jobs/check-reward/table.js');
      const { device } = chooseDevice(flags.device);
      const isFile = existsSync(text) && /\.[cm]?js$/.test(text);
      const config = parseReward(isFile ? JSON.stringify({ name: 'module', file: text }) : text);
      const [[reward]] = (await createRewardList([config], device)) as [[Parameters<typeof checkReward>[0], number]];
      const { channels = 3, width = 64, height = 64, prompt: prompts = ['0', '1'] } = flags;
      const found = await checkReward(reward, { shape: [channels, height, width], prompts, device, signal });
      process.stdout.write(
        `${flags.json ? JSON.stringify({ reward: reward.name, ...found }, null, 2) : checkTable(found)}\n`,
      );
      if (found.verdict !== 'right') throw new EamError('ERR_EAM_REWARD', `${reward.name}: ${found.text}`);
    });
