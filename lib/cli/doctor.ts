import { Command } from '@commander-js/extra-typings';

import { EamError } from '../errors.js';
import { jsonOption } from './options.js';

export const doctorCommand = () =>
  new Command('doctor')
    .description('Print what was found and chosen, to paste into a bug report.')
    .addOption(jsonOption())
    .action(async ({ json }) => {
      const { diagnose } = await import('../jobs/build/diagnosis.js');
      const { diagnosisText } = await import('../jobs/build/diagnosis-text.js');
      const diagnosis = diagnose();
      process.stdout.write(`${json ? JSON.stringify(diagnosis, null, 2) : diagnosisText(diagnosis)}\n`);
      if (!diagnosis.usable)
        throw new EamError('ERR_EAM_UNUSABLE', 'the native core cannot be used; see above for what to do');
    });
