// docs/configuration.md: a table of every key of every configuration.

import { isEmpty, rangeOf } from './words.mjs';

const code = (text) => `\`${text}\``;
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const json = (value) => code(JSON.stringify(value));

/** The sections of what several configurations hold, by their TypeScript types. */
const sections = {
  AlgorithmConfig: { title: 'Algorithms', anchor: 'algorithms' },
  OptimizerOptions: { title: 'The optimizer', anchor: 'the-optimizer' },
  RewardConfig: { title: 'Rewards', anchor: 'rewards' },
  JudgeConfig: { title: 'Judges', anchor: 'judges' },
  DescribedModelConfig: { title: 'Described models', anchor: 'described-models' },
  TrainedAdapterConfig: { title: 'Adapters', anchor: 'adapters' },
  CheckpointsConfig: { title: 'Checkpoints', anchor: 'checkpoints' },
  SamplesConfig: { title: 'Grids of samples', anchor: 'grids-of-samples' },
  EvaluationConfig: { title: 'Evaluations', anchor: 'evaluations' },
};

const link = (type, text) => `[${text}](#${sections[type].anchor})`;

function typeOf(node) {
  if (sections[node.typescript]) return link(node.typescript, sections[node.typescript].title.toLowerCase());
  if (node.const !== undefined) return json(node.const);
  if (node.enum) return node.enum.map(json).join(', ');
  const several = (node.oneOf ?? node.anyOf)?.filter((each) => !each.code);
  if (several) return [...new Set(several.map(typeOf))].join(' or ');
  if (node.type === 'array')
    return node.prefixItems ? `[${node.prefixItems.map(typeOf).join(', ')}]` : `list of ${typeOf(node.items)}`;
  if (node.type === 'integer') return 'whole number';
  return node.type ?? 'anything';
}

/** An optional key without a default says in its sentence what holds where it is left out. */
function defaultOf(node, isRequired) {
  if (isRequired) return 'required';
  if (node.default === undefined) return '';
  return isEmpty(node.default) && node.properties ? 'those of its keys' : json(node.default);
}

/** The objects in a node that are described with it: not those that have a section. */
function nested(node) {
  if (node.typescript) return [];
  if (node.type === 'object' && node.properties) return [{ suffix: '', node }];
  if (node.type === 'array' && node.items)
    return nested(node.items).map(({ suffix, node: inner }) => ({ suffix: `[]${suffix}`, node: inner }));
  return (node.oneOf ?? node.anyOf ?? []).flatMap(nested);
}

function rowsOf({ properties, required = [] }, prefix = '') {
  return Object.entries(properties).flatMap(([name, node]) => {
    const path = prefix + name;
    const described = nested(node);
    const type = described.length && node.type !== 'array' && !node.anyOf ? 'object' : typeOf(node);
    const row = [code(path), type, defaultOf(node, required.includes(name)), rangeOf(node), node.description];
    return [row, ...described.flatMap(({ suffix, node: inner }) => rowsOf(inner, `${path}${suffix}.`))];
  });
}

function table(node) {
  const head = ['key', 'type', 'default', 'range', 'what it says'];
  const lines = [head, head.map(() => '---'), ...rowsOf(node)].map((cells) => `| ${cells.map(cell).join(' | ')} |`);
  return lines.join('\n');
}

/** Every place in a schema that has one of these types, the first of each. */
export function sharedIn(node, found = new Map()) {
  if (typeof node !== 'object' || node === null) return found;
  if (sections[node.typescript] && !found.has(node.typescript)) found.set(node.typescript, node);
  for (const [key, value] of Object.entries(node)) if (key !== 'default') sharedIn(value, found);
  return found;
}

const variants = (node) => node.oneOf ?? node.anyOf ?? [node];
/** By which an alternative is told: its name, or the type of its model. */
const nameOf = ({ properties }) => (properties.name?.const ?? properties.model?.properties.type.const) || undefined;

const introductions = {
  finetune: "A model's adapter is fine-tuned towards rewards. In TypeScript it is `FinetuneConfig`.",
  compare: 'Several algorithms fine-tune one model, over several seeds. In TypeScript it is `CompareConfig`.',
  distill: 'An adapter learns what guidance draws. In TypeScript it is `DistillConfig`.',
  pretrain: 'A network is trained from scratch. In TypeScript it is `PretrainConfig`.',
  fidelity: 'These are set by `--set key=value`, and are `FidelityConfig` in TypeScript; there is no file.',
  problem: 'The file of `eam fidelity --problem`.',
};

const head = `# Configuration

<!-- Written by \`npm run generate\` from the schemas in lib/: change those, not this. -->

Every key of every configuration, with its type, its default, its range and what it says. Where the column of defaults
is empty, that sentence tells what holds for a key that is left out. A key that is not here is
refused, with the one that was probably meant.

## How a configuration is written

\`eam init\` asks four questions and writes one. It may be:

- **JSON** (\`.json\`, \`.jsonc\`), in which comments and a comma after the last entry are allowed. With
  \`"$schema"\` an editor completes keys, shows what they say and marks what is wrong:

  \`\`\`json
  { "$schema": "./node_modules/eam-torch/schemas/finetune.schema.json", "model": "digits" }
  \`\`\`

- **TypeScript or JavaScript** (\`.ts\`, \`.mts\`, \`.js\`, \`.mjs\`), whose default export is the configuration or a
  function that returns it. It needs nothing installed but this package, on every supported Node. Rewards, models,
  prompts and algorithms may be made in it:

  \`\`\`ts
  import { defineConfig, eam, fromFunction } from 'eam-torch';

  export default defineConfig({
    model: 'digits',
    prompts: Array.from({ length: 10 }, (_, digit) => String(digit)),
    rewards: [{ name: 'stroke-weight' }, [fromFunction('mine', score), 0.5]],
    algorithm: eam({ lambda: 12 }),
    optimizer: { learningRate: 1e-3 },
    steps: 100,
  });
  \`\`\`

- **an object in a program**: \`await finetune(config)\` takes the same, and its run's folder is like any other. A model
  that a program loaded is its own to dispose of.

A record cannot hold what a program made: there its place has a name and \`"made-in-code"\`, and the run goes on
(\`--resume\`) with the program, or the configuration in TypeScript, that made it.

\`--set key=value\` changes one key by its path, such as \`--set algorithm.C=1.2 --set rewards.0.weight=2\`. A run's
folder holds the configuration with every default filled in, and stands for it on the command line.
`;

/** The page. @param jobs the marked JSON Schema of each job, by its name */
export function configurationPage(jobs) {
  const shared = sharedIn(Object.values(jobs));
  const parts = Object.entries(jobs).map(([job, node]) => {
    const title = job === 'problem' ? 'A problem of fidelity' : `eam ${job}`;
    const several = variants(node);
    const tables = several.map((each) => {
      const name = several.length > 1 ? `### Of a model of type "${nameOf(each)}"\n\n` : '';
      return `${name}${table(each)}`;
    });
    return `## ${title}\n\n${introductions[job]}\n\n${tables.join('\n\n')}`;
  });
  const common = Object.entries(sections).map(([type, { title }]) => {
    const several = variants(shared.get(type)).filter((each) => !each.code);
    const tables = several.map((each) => (nameOf(each) ? `### "${nameOf(each)}"\n\n${table(each)}` : table(each)));
    return `## ${title}\n\n${tables.join('\n\n')}`;
  });
  return `${[head.trimEnd(), ...parts, ...common].join('\n\n')}\n`;
}
