import { compareSchema } from './compare/config.js';
import { distillSchema } from './distill/config.js';
import { problemSchema } from './fidelity/problem.js';
import { fidelitySchema } from './fidelity/settings.js';
import { pretrainSchema } from './pretrain/config.js';
import { finetuneSchema } from './settings/finetune.js';

/** The configuration of each job, in the order of `eam --help`; `problem` is the file of `eam fidelity --problem`. */
export const configurations = {
  finetune: finetuneSchema,
  compare: compareSchema,
  distill: distillSchema,
  pretrain: pretrainSchema,
  fidelity: fidelitySchema,
  problem: problemSchema,
};
