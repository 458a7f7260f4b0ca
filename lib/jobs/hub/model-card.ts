// The README.md of an adapter on the hub: what it was made from, with what, and what came of it. Paths, addresses and
// prompts of the machine it was trained on are left out.

import { packageVersion } from '../../runtime/package.js';
import type { Evaluation } from '../../training/evaluation.js';
import type { StepMetrics } from '../../training/metrics.js';
import { evaluationNotes, evaluationRows } from '../report/evaluation-table.js';
import { duration } from '../text.js';

/** What a card is made of. */
export interface Card {
  /** `user/name`, under which the adapter is published. */
  id: string;
  /** `user/name` of the model that it was trained on; undefined where that is not of the hub. */
  base: string | undefined;
  adapter: { rank: number; alpha: number };
  /** A run's configuration; undefined of an adapter that is in no run. */
  config: Readonly<Record<string, unknown>> | undefined;
  metrics: readonly Pick<StepMetrics, 'step' | 'reward' | 'total'>[];
  evaluation: Evaluation | undefined;
  /** Paths in the repository of grids from the same noise, the pretrained model's first. */
  grids: readonly { step: number; path: string }[];
  /** Whether the layout that diffusers loads is published, too. */
  forDiffusers: boolean;
}

/** By this `eam push` knows a card that nobody else wrote. */
export const cardMark = '<!-- This card is written by eam push, which writes it anew unless this line is removed. -->';

/** The settings of a run that a card repeats. */
const told = ['algorithm', 'optimizer', 'adapter', 'image', 'steps', 'batch', 'seed', 'dtype'];

export function modelCard(card: Card): string {
  const sections = [
    head(card),
    introduction(card),
    grids(card),
    results(card),
    training(card),
    settings(card),
    use(card),
  ];
  return `${[...sections, licence(card)].filter(Boolean).join('\n\n')}\n`;
}

/** YAML, of which JSON's texts are a part. The licence is the user's to choose. */
function head({ base, forDiffusers }: Card): string {
  const lines = [
    ...(base === undefined ? [] : [`base_model: ${JSON.stringify(base)}`, 'base_model_relation: adapter']),
    `library_name: ${forDiffusers ? 'diffusers' : 'eam-torch'}`,
    'pipeline_tag: text-to-image',
    'tags: [lora, text-to-image, reward-fine-tuning, eam-torch]',
    '# license: choose one that the licence of the base model allows',
  ];
  return ['---', ...lines, '---', cardMark].join('\n');
}

function introduction({ id, base, adapter, config }: Card): string {
  const rewards = (config?.['rewards'] ?? []) as { name?: string; weight?: number }[];
  const named = rewards.map(({ name, weight = 1 }) => `${name}${weight === 1 ? '' : ` (weight ${weight})`}`);
  const of = base === undefined ? '' : ` for [${base}](https://huggingface.co/${base})`;
  const towards = named.length ? `, fine-tuned towards ${named.join(', ')}` : '';
  return (
    `# ${id.split('/')[1]}\n\nA LoRA adapter of rank ${adapter.rank} and alpha ${adapter.alpha}${of}${towards}, ` +
    `made with eam-torch ${packageVersion}.`
  );
}

function grids({ grids: pictures }: Card): string {
  return pictures
    .map(({ step, path }) => `![${step === 0 ? 'Before training' : `After step ${step}`}](${path})`)
    .concat(pictures.length > 1 ? ['The same prompts, each from the same noise.'] : [])
    .join('\n\n');
}

function results({ evaluation }: Card): string {
  if (!evaluation) return '';
  const rows = evaluationRows(evaluation).map(({ name, before, after, change }) => [name, before, after, change]);
  const notes = evaluationNotes(evaluation).join('. ');
  return `## Results\n\n${table(['', 'before', 'after', 'change'], rows)}\n\n${notes}.`;
}

function training({ metrics }: Card): string {
  const [first, last] = [metrics[0], metrics.at(-1)];
  if (!first || !last) return '';
  const { forwards, vjps, backwards, seconds } = last.total;
  const rows = [
    ['steps', String(last.step)],
    ['reward at the first step', first.reward.toFixed(3)],
    [`reward at step ${last.step}`, last.reward.toFixed(3)],
    ['network evaluations', String(forwards + vjps + backwards)],
    ['time', duration(seconds)],
  ];
  return `## Training\n\n${table(['', ''], rows)}`;
}

function settings({ config }: Card): string {
  if (!config) return '';
  const rows = told.flatMap((key) => flattened(key, config[key]));
  return rows.length ? `## Settings\n\n${table(['setting', 'value'], rows)}` : '';
}

function flattened(key: string, value: unknown): string[][] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) return [[`\`${key}\``, cell(value)]];
  return Object.entries(value).flatMap(([name, each]) => flattened(`${key}.${name}`, each));
}

const cell = (value: unknown): string =>
  (typeof value === 'string' ? value : JSON.stringify(value)).replace(/[|\n]/g, ' ');

function use({ id, base, forDiffusers }: Card): string {
  const model = base === undefined ? '' : ` --model ${base}`;
  const fetched = base === undefined ? '' : `eam fetch ${base}\n`;
  const python = forDiffusers
    ? `\n\n\`\`\`python\nimport diffusers\n\npipeline = diffusers.DiffusionPipeline.from_pretrained("${base}")\n` +
      `pipeline.load_lora_weights("${id}", weight_name="pytorch_lora_weights.safetensors")\n\`\`\``
    : '';
  return (
    `## Use\n\n\`\`\`sh\n${fetched}eam fetch ${id}\n` +
    `eam sample${model} --adapter ${id} --prompt "…" --out image.png\n\`\`\`${python}`
  );
}

function licence({ base }: Card): string {
  const of = base === undefined ? 'its base model' : base;
  return (
    `## Licence\n\nNo licence has been chosen for this adapter. It was made from ${of}, whose licence says what may ` +
    'be done with what is made from it; so do those of the rewards.'
  );
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
