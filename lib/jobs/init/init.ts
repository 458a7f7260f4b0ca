import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, extname, join, relative, resolve } from 'node:path';

import { ConfigError } from '../../errors.js';
import { fetchCommand, placeOf } from '../../files/hub-cache.js';
import { configurationFor } from '../../models/registry.js';
import { shippedModels } from '../../models/shipped.js';
import { fetchedRewards, parseReward, rewardNames } from '../../rewards/registry.js';
import { publishedFolder } from '../../rewards/reward-kind.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { packageDirectory } from '../../runtime/package.js';
import { expected } from '../../schema/validate.js';
import { readConfigFile } from '../settings/config-file.js';
import { readFinetuneConfig } from '../settings/finetune.js';

/** What a configuration is made of. */
export interface Answers {
  model?: string | undefined;
  /** Each is written as on a command line: a name with its folder, or JSON. */
  rewards?: readonly string[] | undefined;
  /** Prompts, or one that is a file of them. */
  prompts?: readonly string[] | undefined;
  steps?: number | undefined;
}

/** What is asked where nobody has said it: the answer's text, of which an empty one is `otherwise`. */
export type Ask = (question: string, otherwise?: string) => Promise<string>;

/** What each answer is asked by, and the flag that gives it. */
const questions = {
  model: {
    flag: '--model',
    text: "Which model? A name that comes with the package, a model's folder, or its name on the hub",
  },
  rewards: { flag: '--reward', text: 'Which reward? NAME, NAME=FOLDER or NAME=USER/NAME on the hub, of' },
  prompts: { flag: '--prompt or --prompts', text: 'Which prompts? A file of them, or some, with semicolons between' },
  steps: { flag: '--steps', text: 'How many training steps?' },
} as const;

/**
 * Writes a configuration of `eam finetune`, in TypeScript where the file's name says so. What it names may be fetched
 * later.
 * @param ask undefined where nobody can be asked
 * @returns the commands that fetch what is not there yet
 * @throws ConfigError for an answer that is missing or that the configuration cannot hold, and where the file is there;
 *   CheckpointError where there is no such model
 */
export async function init(
  path: string,
  answers: Answers,
  ask: Ask | undefined,
  overwrite: boolean,
): Promise<string[]> {
  if (!['.json', '.jsonc', '.ts', '.mts'].includes(extname(path)))
    throw new ConfigError(expected('file', 'a name that ends in .json, .jsonc, .ts or .mts', path));
  const config = await configOf(answers, ask);
  const model = missing(config.model);
  await readFinetuneConfig(config, path, model === undefined ? undefined : standIn);
  const text = extname(path).endsWith('ts') ? typeScriptOf(config, path) : jsonOf(config, path);
  makeDirectory(dirname(resolve(path)));
  await writeFile(path, text, { flag: overwrite ? 'w' : 'wx' }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EEXIST' ? 'is there already: --force replaces it' : `was not written: ${error.message}`;
    throw new ConfigError(`${path} ${why}`, { cause: error });
  });
  return [model, ...config.rewards.map(missingReward)].filter((command) => command !== undefined);
}

/** Stands for the choice of a model that is not there, of which the configuration keeps nothing. */
const standIn = { steps: 1, solver: 'euler', guidance: 1 } as const;

/** The command that fetches what a configuration names, where it is not there and one does. */
const missing = (source: string): string | undefined =>
  existsSync(placeOf(source)) ? undefined : fetchCommand(source);

function missingReward(reward: { name: string; directory?: string | undefined }): string | undefined {
  return fetchedRewards.has(reward.name) ? missing(publishedFolder(reward.name, reward)) : undefined;
}

async function configOf({ model, rewards, prompts, steps }: Answers, ask: Ask | undefined) {
  const told = async (name: keyof typeof questions, more = '', otherwise?: string): Promise<string> => {
    const { flag, text } = questions[name];
    const answer = await ask?.(`${text}${more}`, otherwise);
    if (answer) return answer;
    throw new ConfigError(expected('init', flag, 'none'));
  };
  const named = model ?? (await told('model', '', shippedModels[0]));
  const scored = rewards ?? [await told('rewards', ` ${rewardNames.join(', ')}`)];
  const drawn = prompts ?? (await told('prompts')).split(';').map((prompt) => prompt.trim());
  const [only = ''] = drawn;
  return {
    model: named,
    prompts: drawn.length === 1 && extname(only) !== '' ? only : drawn,
    rewards: scored.map(parseReward),
    ...(await settingsFor(named)),
    steps: steps ?? Number(await told('steps', '', '100')),
    output: 'runs/finetune',
  };
}

/** What a configuration is made of that nobody is asked for: that of the shipped one for such models. */
async function settingsFor(model: string): Promise<object> {
  const path = await configurationFor(model);
  if (path === undefined)
    return { algorithm: { name: 'eam', lambda: 10 }, optimizer: { learningRate: 1e-3, emaDecay: 0.95 } };
  const shipped = (await readConfigFile(path)) as Record<string, unknown>;
  const told = ['$schema', 'model', 'device', 'prompts', 'rewards', 'steps', 'output'];
  return Object.fromEntries(Object.entries(shipped).filter(([name]) => !told.includes(name)));
}

const hints = [
  'λ, how strongly the reward pulls: see docs/choosing-settings.md.',
  'Every key that may stand here: docs/configuration.md.',
];

function jsonOf(config: object, path: string): string {
  const schema = relative(dirname(resolve(path)), join(packageDirectory, 'schemas', 'finetune.schema.json'));
  const own = schema.startsWith('.') ? schema : `./${schema}`;
  const body = JSON.stringify({ $schema: own, ...config }, null, 2);
  const comments = [`eam finetune ${path}`, ...hints].map((line) => `// ${line}\n`).join('');
  return `${comments}${body}\n`;
}

function typeScriptOf(config: object, path: string): string {
  const body = JSON.stringify(config, null, 2).replaceAll(/^(\s*)"(\w+)":/gm, '$1$2:');
  const comments = [`eam finetune ${path}`, ...hints].map((line) => `// ${line}\n`).join('');
  return `${comments}\nimport { defineConfig } from 'eam-torch';\n\nexport default defineConfig(${body});\n`;
}
