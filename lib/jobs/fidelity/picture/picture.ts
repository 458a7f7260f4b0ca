import { dirname, extname } from 'node:path';

import { ConfigError } from '../../../errors.js';
import { replaceFile } from '../../../files/checkpoints.js';
import { checkOutput } from '../../../files/output-path.js';
import { makeDirectory } from '../../../runtime/make-directory.js';
import { expected } from '../../../schema/validate.js';
import { fidelity, type FidelityOptions, type FidelitySamples } from '../fidelity.js';
import type { Problem } from '../problem.js';
import type { FidelityResult } from '../result.js';
import { type fidelityPresets, settingsFor } from '../settings.js';
import { tiltedMixture } from '../tilted-mixture.js';
import type { FidelityMeasurement } from '../yardstick.js';
import { exactDensity, sampledDensity, viewOf } from './density.js';
import { drawPicture, type Panel } from './svg.js';

/** Pixels a side of a panel's density. */
const pixels = 240;

const variants = {
  plain: [],
  modes: ['algorithm.modes=true'],
  pretrained: ['algorithm.endpoints=pretrained', 'algorithm.endpointsPerPrompt=8192'],
} as const;

/** What the command line asks of a run. */
export interface Asked {
  algorithm: keyof typeof fidelityPresets;
  /** EAM runs as published, with the term for weights of modes, or from endpoints of the pretrained model. */
  variant: keyof typeof variants;
  /** Settings by name; undefined where they are the preset's. */
  named: Readonly<Record<string, unknown>>;
  /** `key=value`. */
  set: readonly string[];
}

const settingsOf = ({ algorithm, variant, named, set }: Asked): FidelityOptions['settings'] =>
  settingsFor(algorithm, named, [...variants[variant], ...set]);

/** {@link fidelity} as the command line asks for it. */
export const fidelityAsked = (asked: Asked, options: Omit<FidelityOptions, 'settings'>): Promise<FidelityResult> =>
  fidelity({ ...options, settings: settingsOf(asked) });

const all = [
  { title: 'EAM', algorithm: 'eam', variant: 'plain' },
  { title: 'EAM with modes', algorithm: 'eam', variant: 'modes' },
  { title: 'Pretrained endpoints', algorithm: 'eam', variant: 'pretrained' },
  { title: 'Adjoint Matching', algorithm: 'am', variant: 'plain' },
] as const;

/**
 * Runs what is asked for, and draws into an SVG the densities of the pretrained model, the exact target, and the first
 * seed of EAM, EAM with modes and AM: those that are not asked for with their own algorithm's preset, and with the
 * same changes to everything else.
 * @throws ConfigError for a problem of other than two dimensions, and a file of another kind
 */
export async function fidelityPicture(
  file: string,
  asked: Asked,
  options: Omit<FidelityOptions, 'settings' | 'onSamples'>,
): Promise<FidelityResult> {
  const { problem } = options;
  await refuse(file, problem);
  const isAsked = ({ algorithm, variant }: (typeof all)[number]) =>
    algorithm === asked.algorithm && variant === asked.variant;
  const contenders = all.filter((each) => each.variant !== 'pretrained' || isAsked(each));
  // What is asked for comes first: where it cannot be done, nothing else is.
  const wanted = contenders.find(isAsked);
  if (!wanted) {
    const flag = asked.variant === 'modes' ? '--modes' : '--pretrained-endpoints';
    throw new ConfigError(`${flag}: Adjoint Matching has no such thing; leave it out`);
  }
  const own = await drawn(settingsOf(asked), options);
  const seeds = own.result.settings.seeds.slice(0, 1);
  const others = new Map<string, Drawn>([[wanted.title, own]]);
  for (const contender of contenders.filter((each) => each !== wanted)) {
    options.observer?.note(`for the picture: ${contender.title}`);
    const settings = settingsOf({
      ...contender,
      named: { ...asked.named, seeds, oracle: false },
      set: asked.set.filter((each) => !each.startsWith('algorithm')),
    });
    others.set(contender.title, await drawn(settings, options));
  }
  const runs = contenders.map(({ title }) => ({ title, ...others.get(title)! }));
  makeDirectory(dirname(file));
  await replaceFile(file, draw(problem, own, runs));
  options.observer?.note(`picture: ${file}`);
  return own.result;
}

async function refuse(file: string, { means }: Problem): Promise<void> {
  const dimensions = means[0]!.length;
  if (dimensions !== 2) {
    const what = 'a problem of 2 dimensions, such as separated, overlapping or strong';
    throw new ConfigError(
      `${expected('--picture', what, dimensions)} dimensions: name another --problem, or leave --picture out`,
    );
  }
  if (extname(file).toLowerCase() !== '.svg') {
    throw new ConfigError(
      `${expected('--picture', 'a path that ends in .svg', file)}; browsers and GitHub show SVG, and make PNGs of it`,
    );
  }
  await checkOutput(file, 'file');
}

interface Drawn {
  result: FidelityResult;
  samples: FidelitySamples[];
}

async function drawn(
  settings: FidelityOptions['settings'],
  options: Omit<FidelityOptions, 'settings'>,
): Promise<Drawn> {
  const samples: FidelitySamples[] = [];
  const result = await fidelity({ ...options, settings, onSamples: (each) => samples.push(each) });
  return { result, samples };
}

function draw(problem: Problem, own: Drawn, runs: readonly (Drawn & { title: string })[]): string {
  const { exact, pretrained, oracle } = own.result;
  const target = tiltedMixture(problem);
  const view = viewOf([tiltedMixture(problem, 0), target], pixels);
  const narrowest = Math.sqrt(Math.min(...target.variances.flat()));
  const panel = (
    title: string,
    { samples }: Drawn,
    of: FidelitySamples['of'],
    figures: FidelityMeasurement,
  ): Panel => ({
    title,
    density: sampledDensity(samples.find((each) => each.of === of)!.values, view, 0.3 * narrowest),
    modeWeights: figures.modeWeights,
    note: `E[r] ${figure(figures.reward)}, total variation ${figures.totalVariation.toFixed(3)}`,
  });
  const density = exactDensity(target, view);
  return drawPicture({
    title: 'Densities of the pretrained model, the exact target, and what each algorithm trained',
    view,
    exactWeights: exact.modeWeights,
    labels: target.means.map(([x, y], mode) => {
      const [vx, vy] = target.variances[mode] as [number, number];
      return [x! - 2.4 * Math.sqrt(vx), y! + 2.4 * Math.sqrt(vy)];
    }),
    brightest: density.reduce((most, value) => Math.max(most, value), 0),
    panels: [
      panel('Pretrained', own, 'pretrained', pretrained),
      { title: 'Exact target', density, modeWeights: exact.modeWeights, note: `E[r] ${figure(exact.reward)}` },
      ...(oracle ? [panel('Same network, exact samples', own, 'oracle', oracle.runs[0]!)] : []),
      ...runs.map((run) => panel(run.title, run, 'run', run.result.runs[0]!)),
    ],
  });
}

const figure = (value: number): string => value.toFixed(2).replace('-', '−');
