import type { Evaluations } from '../../training/metrics.js';
import { bytesText } from '../text.js';
import type { DeviceMemory } from './device-memory.js';
import type { UnknownMemory } from './free-memory.js';
import type { IterationOperations } from './operations.js';
import { rolloutText } from './choose-rollout.js';
import { decodingText } from './decode-slice.js';
import { needed, type MemoryPlan, type Plan } from './plan.js';

function countText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(3)} B`;
  return count >= 1e6 ? `${(count / 1e6).toFixed(2)} M` : String(count);
}

const operationsText = (operations: number): string => `${Number((operations / 1e12).toPrecision(3))} TFLOP`;

/** What the device must have free, and what it has. */
export function roomText(planned: Plan, found: DeviceMemory | UnknownMemory): string {
  const place =
    'unknown' in found
      ? `${found.unknown}, --memory says how much it has`
      : `${bytesText(found.free)} of ${bytesText(found.total)} are free`;
  const other = planned.device === 'cpu' ? '; --device cuda plans for a GPU' : '';
  return `Needed on ${planned.device}: ${bytesText(needed(planned))}; ${place}${other}`;
}

const row = (name: string, ...cells: string[]): string =>
  `  ${name.padEnd(46)}${cells.map((cell) => cell.padStart(14)).join('')}`.trimEnd();

/** The networks, and what each phase of the run takes of the device's memory. */
function memoryLines(device: string, { networks, encoders, rewards, trainable, prompts, phases, peak }: MemoryPlan) {
  const { count, missing } = prompts;
  const cached = missing
    ? missing < count && `  ${count - missing} of ${count} prompts are in the cache already`
    : `  encoding prompts: left out, the embeddings of all ${count} are in the cache`;
  return [
    'Networks',
    ...networks.map(({ name, parameters, dtype, bytes }) =>
      row(`${name}, ${dtype}`, countText(parameters), bytesText(bytes)),
    ),
    ...encoders.map(({ name, parameters, dtype, bytes }) =>
      row(`${name}, ${dtype}; while encoding`, countText(parameters), bytesText(bytes)),
    ),
    ...rewards.map(({ name, bytes }) =>
      row(`reward ${name}`, '', bytes === undefined ? 'not known' : bytesText(bytes)),
    ),
    row('trained: the adapter', countText(trainable)),
    '',
    `Memory on ${device}, beside the process and its libraries; of rewards, their weights alone`,
    ...(cached ? [cached] : []),
    ...phases.flatMap((phase) => [
      row(phase.name, bytesText(phase.bytes), phase === peak ? '<- the most' : ''),
      ...Object.entries(phase.parts).map(([part, bytes]) => row(`  ${part}`, bytesText(bytes))),
    ]),
    '',
  ];
}

function evaluationLines({ batch, endpoints, rollout, decodeSlice, evaluations: { least, most } }: Plan): string[] {
  const range = (key: keyof Evaluations) =>
    least[key] === most[key] ? String(most[key]) : `${least[key]} to ${most[key]}`;
  return [
    `An iteration, batch ${batch}`,
    row('forwards', range('forwards')),
    row('vector-Jacobian products (vjps)', range('vjps')),
    row('backwards', range('backwards')),
    ...(rollout ? [`  ${rolloutText(rollout)}`] : []),
    ...(decodeSlice === undefined ? [] : [`  ${decodingText(decodeSlice)}`]),
    ...(endpoints
      ? [
          '',
          `Before the first step, ${endpoints.count} endpoints of the pretrained model, unless they are there`,
          row('forwards', String(endpoints.forwards)),
          row('vector-Jacobian products (vjps)', String(endpoints.vjps)),
        ]
      : []),
  ];
}

function operationLines({ rollout, decoding, rewardGradient, matching, total }: IterationOperations): string[] {
  return [
    '',
    "Floating-point operations of an iteration's matrix products and convolutions, rewards left out",
    row('rolling out', operationsText(rollout)),
    row('decoding', operationsText(decoding)),
    row("taking the reward's gradient to the latents", operationsText(rewardGradient)),
    row('training', operationsText(matching)),
    row('in all', operationsText(total)),
  ];
}

function cardLines(cards: Plan['cards']): string[] {
  if (cards.length === 0) return [];
  return [
    '',
    "Time by card, without rewards' networks, encoding and loading: seconds an iteration; " +
      'hours of the run, drawing included',
    ...cards.map(({ name, measured, fits, seconds, hours }) => {
      const remark = fits ? (measured ? 'measured rates' : 'estimate') : 'too little memory';
      return row(name, seconds.toPrecision(3), hours.toPrecision(3), remark.padStart(19));
    }),
  ];
}

/** A plan as a person reads it. */
export function planTable(plan: Plan): string {
  const { device, memory, parts, disk, cards } = plan;
  if (parts) {
    return [
      'Networks',
      ...parts.map(({ name, bytes }) => row(name, '', bytesText(bytes))),
      '',
      ...evaluationLines(plan),
      '',
      "The memory of activations is not planned: a module of one's own says nothing of its activations.",
    ].join('\n');
  }
  if (!memory)
    return [...evaluationLines(plan), '', 'The memory of this model is not planned: it is small.'].join('\n');
  return [
    ...memoryLines(device, memory),
    ...evaluationLines(plan),
    ...operationLines(memory.operations),
    ...cardLines(cards),
    '',
    'Disk',
    ...disk.map(({ name, folder, bytes, free }) =>
      row(name, bytesText(bytes), `  in ${folder}, ${bytesText(free)} free`),
    ),
  ].join('\n');
}
