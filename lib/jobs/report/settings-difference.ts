import { isSecretName } from '../../schema/secrets.js';

/** A setting in which runs differ, and what each of them has: undefined where it has none. */
export interface Difference {
  /** A path such as `optimizer.learningRate` or `rewards[0].weight`. */
  key: string;
  values: (unknown | undefined)[];
}

/** These settings only say where a run or its schema lies, so that they count as no difference. */
const places = new Set(['output', '$schema']);

/**
 * The settings in which configurations differ. Objects and lists of objects are taken apart, so that each of their
 * settings is compared by itself; any other list is one value. The settings come in the order in which the
 * configurations name them.
 */
export function settingsDifference(configs: readonly Readonly<Record<string, unknown>>[]): Difference[] {
  const flat = configs.map((config) => new Map(Object.entries(config).flatMap(([key, value]) => flatten(value, key))));
  const keys = new Set(flat.flatMap((settings) => [...settings.keys()]));
  return [...keys]
    .filter((key) => !places.has(key))
    .map((key) => ({ key, values: flat.map((settings) => settings.get(key)) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1)
    .map(({ key, values }) => ({ key, values: isSecret(key) ? values.map((value) => value && '…') : values }));
}

const isSecret = (key: string) => {
  const name = key.slice(key.lastIndexOf('.') + 1);
  return isSecretName(name) || name === 'keyFrom';
};

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function flatten(value: unknown, key: string): [string, unknown][] {
  if (Array.isArray(value) && value.length && value.every(isObject))
    return value.flatMap((entry, index) => flatten(entry, `${key}[${index}]`));
  if (!isObject(value) || Array.isArray(value) || Object.keys(value).length === 0) return [[key, value]];
  return Object.entries(value).flatMap(([name, entry]) => flatten(entry, `${key}.${name}`));
}

/** The values of a difference as texts that differ, each short enough for a cell of a table. */
export function differenceTexts({ values }: Difference): string[] {
  const lists = values.filter(Array.isArray);
  const first = lists.length > 1 ? firstDifference(lists) : 0;
  return values.map((value) => {
    if (value === undefined) return '–';
    if (!Array.isArray(value)) return shortened(typeof value === 'string' ? value : JSON.stringify(value));
    const whole = JSON.stringify(value);
    if (whole.length <= longest) return whole;
    const entry = first < value.length ? `; the first that differs is ${JSON.stringify(value[first])}` : '';
    return shortened(`${value.length} entries${entry}`);
  });
}

function firstDifference(lists: readonly unknown[][]): number {
  const texts = lists.map((list) => list.map((entry) => JSON.stringify(entry)));
  const length = Math.max(...lists.map((list) => list.length));
  const at = Array.from({ length }, (_, index) => index).find(
    (index) => new Set(texts.map((list) => list[index])).size > 1,
  );
  return at ?? 0;
}

/** Characters of a cell. */
const longest = 96;

/** Paths differ at their ends, other texts at their beginnings: both are kept. */
const shortened = (text: string): string =>
  text.length <= longest ? text : `${text.slice(0, longest / 2 - 1)}…${text.slice(-longest / 2)}`;
