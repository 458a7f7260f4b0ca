// Rows of results: read from the bench programs, written as one CSV, printed as Markdown.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';

/** Columns that the programs print. */
export const measured = [
  'section',
  'name',
  'variant',
  'dtype',
  'elements',
  'threads',
  'repeats',
  'unit',
  'p20',
  'p50',
  'p80',
];
/** Columns that say where and of what. */
export const circumstances = ['date', 'machine', 'revision', 'libtorch', 'node'];

const numeric = new Set(['elements', 'threads', 'repeats', 'p20', 'p50', 'p80']);

/** CSV of a program, whose header must be `measured`; no field of it is quoted. */
export function parseRows(text) {
  const [header, ...lines] = text.trim().split('\n');
  if (header !== measured.join(',')) throw new Error(`expected the columns ${measured.join(',')}, found ${header}`);
  return lines.map((line) => {
    const fields = line.split(',');
    if (fields.length !== measured.length) throw new Error(`expected ${measured.length} fields, found ${line}`);
    return Object.fromEntries(measured.map((name, i) => [name, numeric.has(name) ? Number(fields[i]) : fields[i]]));
  });
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const place = q * (sorted.length - 1),
    below = Math.floor(place),
    above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** A row from single measurements. */
export const rowOf = (row, values) => ({
  ...row,
  repeats: values.length,
  p20: quantile(values, 0.2),
  p50: quantile(values, 0.5),
  p80: quantile(values, 0.8),
});

/** As its own tool calls it. */
function gpuName(device) {
  const [, number = '0'] = device.split(':');
  const { status, stdout } = spawnSync('nvidia-smi', ['--query-gpu=name', '--format=csv,noheader', '-i', number], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : device;
}

export function describeMachine(libtorch, device = 'cpu') {
  let revision = 'unknown';
  try {
    const git = (...args) =>
      execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: 'pipe' }).trim();
    revision =
      git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', '../native', '../lib') ? '+' : '');
  } catch {
    /* a package without its repository */
  }
  const processor = `${cpus()[0].model.trim()} x${cpus().length}`;
  const machine = (device === 'cpu' ? processor : `${processor} ${gpuName(device)}`).replaceAll(',', ' ');
  return { date: new Date().toISOString().slice(0, 10), machine, revision, libtorch, node: process.version };
}

const short = (value) =>
  typeof value === 'number' && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);

export function toCsv(rows, where) {
  const columns = [...circumstances, ...measured];
  const lines = rows.map((row) => columns.map((name) => short({ ...where, ...row }[name])).join(','));
  return `${[columns.join(','), ...lines].join('\n')}\n`;
}

export function table(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

const units = { us: 1e-6, s: 1 };
export function amount(value, unit) {
  if (!(unit in units))
    return unit === 'share' ? `${(100 * value).toFixed(2)} %` : `${Number(value.toPrecision(3))} ${unit}`;
  const seconds = value * units[unit];
  const [scale, name] = seconds >= 1 ? [1, 's'] : seconds >= 1e-3 ? [1e3, 'ms'] : [1e6, 'µs'];
  return `${(seconds * scale).toPrecision(3)} ${name}`;
}

const faster = (ours, against) => (ours.unit.endsWith('/s') ? ours.p50 / against.p50 : against.p50 / ours.p50);

/**
 * Groups of rows that were measured in turns: one line each, our median with its spread, the others' and the ratios.
 */
export function toMarkdown(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = [row.section, row.name, row.dtype, row.elements, row.threads].join();
    groups.set(key, { ...groups.get(key), [row.variant]: row });
  }
  const sections = new Map();
  for (const group of groups.values()) {
    const [first] = Object.values(group);
    const lines = sections.get(first.section) ?? [];
    const label = [first.name, first.dtype, first.elements, first.threads];
    const text = (row) => amount(row.p50, row.unit);
    if (group.ours) {
      const { ours, libtorch, pytorch, copy, generator } = group;
      const against = libtorch ?? pytorch;
      const floor = Math.max(copy?.p50 ?? 0, generator?.p50 ?? 0);
      lines.push([
        ...label,
        `${text(ours)} (${amount(ours.p20, ours.unit)} to ${amount(ours.p80, ours.unit)})`,
        against ? text(against) : '',
        against ? `${faster(ours, against).toFixed(2)}×` : '',
        copy ? text(copy) : '',
        generator ? text(generator) : '',
        floor ? `${(ours.p50 / floor).toFixed(2)}×` : '',
      ]);
    } else {
      for (const row of Object.values(group))
        lines.push([
          ...label,
          `${row.variant}: ${text(row)} (${amount(row.p20, row.unit)} to ${amount(row.p80, row.unit)})`,
          '',
          '',
          '',
          '',
          '',
        ]);
    }
    sections.set(first.section, lines);
  }
  const header = [
    'what',
    'dtype',
    'elements',
    'threads',
    'median (p20 to p80)',
    'LibTorch or PyTorch',
    'faster by',
    'copy',
    'bare generator',
    'over the floor',
  ];
  return [...sections].map(([section, lines]) => `### ${section}\n\n${table(header, lines)}\n`).join('\n');
}
