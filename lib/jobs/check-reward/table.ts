import type { GradientCheck } from './check-reward.js';

/** So many directions are shown. */
const shown = 6;

/** The verdict, its figures, and the directions that differ most. */
export function checkTable({ text, scale, correlation, directions }: GradientCheck): string {
  const figure = (value: number) => Number(value.toPrecision(4)).toString();
  const rows = directions
    .slice(0, shown)
    .map(({ where, gradient, difference, uncertainty }) =>
      [where.padEnd(44), figure(gradient).padStart(12), `${figure(difference)} ± ${figure(uncertainty)}`].join('  '),
    );
  return [
    text,
    `finite differences are ${figure(scale)} times the gradient, with a correlation of ${figure(correlation)}`,
    `${'changed'.padEnd(44)}  ${'gradient'.padStart(12)}  finite differences`,
    ...rows,
  ].join('\n');
}
