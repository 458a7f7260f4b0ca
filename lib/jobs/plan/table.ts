import type { Evaluations } from '../../training/trainer.js';
import type { Plan } from './plan.js';

/** GiB where there are some, else MiB. */
export function bytesText(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function countText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(3)} B`;
  return count >= 1e6 ? `${(count / 1e6).toFixed(2)} M` : String(count);
}

const operationsText = (operations: number): string => `${Number((operations / 1e12).toPrecision(3))} TFLOP`;

/** A plan as a person reads it. */
export function planTable({ device, batch, evaluations: { least, most }, memory }: Plan): string {
  const row = (name: string, ...cells: string[]) =>
    `  ${name.padEnd(46)}${cells.map((cell) => cell.padStart(14)).join('')}`.trimEnd();
  const range = (key: keyof Evaluations) =>
    least[key] === most[key] ? String(most[key]) : `${least[key]} to ${most[key]}`;
  const lines: string[] = [];
  if (memory) {
    lines.push('Networks');
    for (const { name, parameters, dtype, bytes } of memory.networks)
      lines.push(row(`${name}, ${dtype}`, countText(parameters), bytesText(bytes)));
    for (const { name, parameters, dtype, bytes } of memory.encoders)
      lines.push(row(`${name}, ${dtype}; while encoding`, countText(parameters), bytesText(bytes)));
    for (const { name, bytes } of memory.rewards)
      lines.push(row(`reward ${name}`, '', bytes === undefined ? 'not known' : bytesText(bytes)));
    lines.push(
      row('trained: the adapter', countText(memory.trainable)),
      '',
      `Memory on ${device}, beside the process and its libraries; of rewards, their weights alone`,
    );
    const { count, missing } = memory.prompts;
    if (!missing) lines.push(`  encoding prompts: left out, the embeddings of all ${count} are in the cache`);
    else if (missing < count) lines.push(`  ${count - missing} of ${count} prompts are in the cache already`);
    for (const phase of memory.phases) {
      lines.push(row(phase.name, bytesText(phase.bytes), phase === memory.peak ? '<- the most' : ''));
      for (const [part, bytes] of Object.entries(phase.parts)) lines.push(row(`  ${part}`, bytesText(bytes)));
    }
    lines.push('');
  }
  lines.push(`An iteration, batch ${batch}`);
  lines.push(
    row('forwards', range('forwards')),
    row('vector-Jacobian products (vjps)', range('vjps')),
    row('backwards', range('backwards')),
  );
  if (memory) {
    const { rollout, decoding, rewardGradient, matching, total } = memory.operations;
    const stages = {
      'rolling out': rollout,
      decoding,
      "taking the reward's gradient to the latents": rewardGradient,
      training: matching,
    };
    lines.push('', "Floating-point operations of an iteration's matrix products and convolutions, rewards left out");
    for (const [name, operations] of Object.entries(stages)) lines.push(row(name, operationsText(operations)));
    lines.push(row('in all', operationsText(total)));
  }
  if (!memory) lines.push('', 'The memory of this model is not planned: it is small.');
  return lines.join('\n');
}
