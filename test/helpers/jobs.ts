// The jobs as JavaScript calls them, with configurations as JSON reads them: types are tested for themselves.
import { compare as typedCompare } from '../../lib/jobs/compare/compare.js';
import { distill as typedDistill } from '../../lib/jobs/distill/distill.js';
import { finetune as typedFinetune } from '../../lib/jobs/finetune/finetune.js';
import { plan as typedPlan } from '../../lib/jobs/plan/plan.js';
import { pretrain as typedPretrain } from '../../lib/jobs/pretrain/pretrain.js';

type Loose<Job> = Job extends (config: never, options?: infer Options) => infer Result
  ? (config: object, options?: Options) => Result
  : never;

export const compare = typedCompare as Loose<typeof typedCompare>;
export const distill = typedDistill as Loose<typeof typedDistill>;
export const finetune = typedFinetune as Loose<typeof typedFinetune>;
export const plan = typedPlan as Loose<typeof typedPlan>;
export const pretrain = typedPretrain as Loose<typeof typedPretrain>;
