import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { isSecretName, jsonWithoutSecrets } from './secrets.js';

/**
 * Checks `value` against `schema` and fills in defaults. One line a mistake, each starting with the path:
 * `algorithm.C: expected a number above 0.5, got 0.5`.
 *
 * @param source what is being checked, for the message's first line, such as a file name
 * @throws ConfigError
 */
export function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, source: string): z.output<Schema> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const lines = tightest(result.error.issues).flatMap((issue) => describeIssue(issue, schema, value));
  throw new ConfigError(lines.length === 1 ? `${source}: ${lines[0]}` : [`${source}:`, ...lines].join('\n  '));
}

/**
 * Words a bad value that no schema checks as {@link validate} does: `where: expected what, got found`.
 * @param found the value, or what is to be said of it
 */
export const expected = (where: string, what: string, found: string | number): string =>
  `${where}: expected ${what}, got ${found}`;

type Issue = z.core.$ZodIssue;

/** A number past what is safe as an integer is past the narrower bound, too: one line says so. */
function tightest(issues: readonly Issue[]): Issue[] {
  const within = (one: Issue, other: Issue) =>
    one.path.join() === other.path.join() &&
    ((one.code === 'too_big' && other.code === 'too_big' && one.maximum > other.maximum) ||
      (one.code === 'too_small' && other.code === 'too_small' && one.minimum < other.minimum));
  return issues.filter((issue) => !issues.some((other) => within(issue, other)));
}

function describeIssue(issue: Issue, schema: z.ZodType, root: unknown): string[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path, root);
    return issue.keys.map((key) => {
      const close = closest(key, known);
      const hint = close ? `; did you mean "${close}"?` : known.length ? `; known keys: ${known.join(', ')}` : '';
      return `${pathOf([...issue.path, key])}: unknown key${hint}`;
    });
  }
  if (isSecret(issue)) return [`${pathOf(issue.path)}: ${expectation(issue)}`];
  // What was found in a file that the value names is in its message.
  if (issue.code === 'custom' && issue.params?.['complete'] === true)
    return [`${pathOf(issue.path)}: ${issue.message}`];
  // What was put into another form first is not where its mistake is told to be. A refinement's input is the whole.
  const value = valueAt(root, issue.path) ?? (issue.code === 'custom' ? undefined : issue.input);
  const finite = issue.code === 'invalid_type' && issue.expected === 'number' && typeof value === 'number';
  return [`${pathOf(issue.path)}: ${finite ? 'expected a finite number' : expectation(issue)}, ${found(value)}`];
}

/** Whether what was found must not be shown. */
const isSecret = (issue: Issue): boolean =>
  (issue.code === 'custom' && issue.params?.['secret'] === true) ||
  issue.path.some((name) => typeof name === 'string' && isSecretName(name));

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${article(issue.expected)}`;
    case 'too_small':
      return `expected ${bound(issue.origin, issue.minimum, issue.inclusive ? 'at least' : 'above')}`;
    case 'too_big':
      return `expected ${bound(issue.origin, issue.maximum, issue.inclusive ? 'at most' : 'below')}`;
    case 'invalid_value':
      return (
        'expected ' +
        `${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map((v) => JSON.stringify(v)).join(', ')}`
      );
    case 'invalid_union': {
      const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
      if (options.length) return `expected one of ${options.map((v) => JSON.stringify(v)).join(', ')}`;
      const branches = issue.errors.flatMap((branch) => branch.slice(0, 1).map(expectation));
      return branches.map((text, i) => (i ? text.replace(/^expected /, '') : text)).join(' or ') || issue.message;
    }
    default:
      return issue.message;
  }
}

const article = (type: string): string => {
  if (type === 'int') return 'a whole number';
  if (type === 'null') return type;
  if (type === 'tuple') return 'an array';
  return `${/^[aeio]/.test(type) ? 'an' : 'a'} ${type}`;
};

function bound(origin: string, limit: number | bigint, relation: string): string {
  if (origin === 'array') return `an array of ${relation} ${limit} items`;
  // What JSON holds past it has been rounded before anyone could see.
  if (limit === Number.MAX_SAFE_INTEGER && relation === 'at most')
    return 'a number of at most 2^53 - 1, up to which numbers are exact';
  if (origin === 'string') return `a string of ${relation} ${limit} characters`;
  return relation === 'at least' || relation === 'at most'
    ? `a number of ${relation} ${limit}`
    : `a number ${relation} ${limit}`;
}

function found(value: unknown): string {
  if (value === undefined) return 'but it is missing';
  if (typeof value === 'bigint') return `got ${value}n`;
  if (typeof value === 'number' || typeof value === 'boolean') return `got ${value}`;
  const text = jsonOf(value) ?? (typeof value === 'function' ? 'a function' : `an ${typeof value}`);
  return `got ${text.length > 80 ? `${text.slice(0, 77)}...` : text}`;
}

/** Undefined for what JSON cannot hold, such as a function, or an object with a bigint or itself in it. */
function jsonOf(value: unknown): string | undefined {
  try {
    return jsonWithoutSecrets(value);
  } catch {
    return undefined;
  }
}

function pathOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the configuration';
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text ? `${text}.${String(key)}` : String(key);
  }, '');
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );
}

/** The keys an object at `path` may have: walks wrappers, arrays and discriminated unions. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], root: unknown): string[] {
  let node: z.ZodType | undefined = schema;
  let value = root;
  for (const key of path) {
    node = unwrap(node, value);
    if (node instanceof z.ZodObject) node = node.shape[String(key)] as z.ZodType | undefined;
    else if (node instanceof z.ZodArray) node = node.element as z.ZodType;
    else return [];
    value = valueAt(value, [key]);
  }
  node = unwrap(node, value);
  return node instanceof z.ZodObject ? Object.keys(node.shape) : [];
}

function unwrap(node: z.ZodType | undefined, value: unknown): z.ZodType | undefined {
  for (;;) {
    if (
      node instanceof z.ZodDefault ||
      node instanceof z.ZodPrefault ||
      node instanceof z.ZodOptional ||
      node instanceof z.ZodNullable
    ) {
      node = node.def.innerType as z.ZodType;
    } else if (node instanceof z.ZodPipe) {
      // What a transform reads, or what a preprocessing gives.
      const { in: before, out: after } = node.def;
      node = (before instanceof z.ZodTransform ? after : before) as z.ZodType;
    } else if (node instanceof z.ZodDiscriminatedUnion) {
      const key = node.def.discriminator;
      node = (node.options as z.ZodType[]).find(
        (option) =>
          option instanceof z.ZodObject && (option.shape[key] as z.ZodType).safeParse(valueAt(value, [key])).success,
      );
    } else if (node instanceof z.ZodUnion && typeof value === 'object') {
      // Where a boolean is allowed in an object's place, only the object has keys; of several objects that is meant
      // which has most of the keys that are there.
      const keys = Object.keys(value ?? {});
      const shared = ({ shape }: z.ZodObject) => keys.filter((key) => key in shape).length;
      node = (node.options as z.ZodType[])
        .map((option) => unwrap(option, value))
        .filter((option) => option instanceof z.ZodObject)
        .sort((one, other) => shared(other) - shared(one))[0];
    } else {
      return node;
    }
  }
}

/** What was meant by a name that is not known: the nearest of those that are, where one is near. */
export function closest(key: string, known: readonly string[]): string | undefined {
  // Two letters swapped are two edits.
  const limit = Math.max(key.length > 3 ? 2 : 1, Math.floor(key.length / 3));
  return known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)[0]?.name;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
