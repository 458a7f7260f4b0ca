// Writes lib/runtime/native/*.generated.ts: options, from their descriptions in native/**/*_options.cpp, as types with
// their documentation and the schemas that configurations and calls are validated with; choices, the names of some of
// them, in a file of their own, which loads nothing; and networks, the types of those in native/nn/kind_list.h. Needs a
// C++ compiler and neither LibTorch nor a built core. With --check it writes nothing, and fails where a file is not
// what would be written.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = 'lib/runtime/native';

function run(command, args, input) {
  const result = spawnSync(command, args, { cwd: root, input, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (result.status !== 0) {
    console.error(`${command} ${args.join(' ')}: ${result.error?.message ?? result.stderr}`);
    process.exit(1);
  }
  return result.stdout;
}

/** What the program in native/describe prints. */
function described() {
  const build = join(root, 'build', 'describe');
  mkdirSync(build, { recursive: true });
  const program = join(build, `describe-${process.pid}`);
  const sources = readdirSync(join(root, 'native'), { recursive: true })
    .map((path) => join('native', path))
    .filter((path) =>
      /^native\/(?!test\/).*_options\.cpp$|^native\/describe\/.*\.cpp$|^native\/ops\/(error|options)\.cpp$/.test(path),
    );
  run(process.env.CXX ?? 'c++', ['-std=c++20', '-O0', '-Inative', ...sources.sort(), '-o', program]);
  const text = run(program, []);
  rmSync(program);
  return JSON.parse(text);
}

/** A documentation comment, wrapped to 120 columns. */
function comment(text, indent = '', tags = []) {
  const width = 120 - indent.length;
  const whole = `${indent}/** ${[text, ...tags].join(' ')} */`;
  if (whole.length <= 120) return whole;
  const lines = [];
  for (const paragraph of [text, ...tags]) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line && ` * ${line} ${word}`.length > width) {
        lines.push(line);
        line = '';
      }
      line += (line && ' ') + word;
    }
    lines.push(line);
  }
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`].join('\n');
}

const largestInt = 2 ** 31 - 1;
const lowerFirst = (name) => name[0].toLowerCase() + name.slice(1);
const literal = (value) =>
  Array.isArray(value)
    ? `[${value.map(literal).join(', ')}]`
    : typeof value === 'string'
      ? `'${value}'`
      : value === largestInt
        ? 'largestInt'
        : String(value);
const schemaName = (table) => `${lowerFirst(table)}Schema`;
const choicesName = (type) => `${lowerFirst(type)}s`;

/** What the range says to a reader; the largest int32 goes without saying. */
function rangeText({ kind, least, leastExcluded, most, mostExcluded }) {
  const bounds = [
    ...(least === null ? [] : [`${leastExcluded ? 'above' : 'at least'} ${least}`]),
    ...(most === null || most === largestInt ? [] : [`${mostExcluded ? 'below' : 'at most'} ${most}`]),
  ].join(' and ');
  const subject = kind === 'numbers' || kind === 'integers' ? 'Each' : 'It';
  if (kind === 'integer' || kind === 'integers') return `${subject} is a whole number${bounds && `, ${bounds}`}.`;
  return bounds && `${subject} is ${bounds}.`;
}

function typeOf(option) {
  switch (option.kind) {
    case 'boolean':
      return 'boolean';
    case 'number':
    case 'integer':
      return 'number';
    case 'choice':
      return option.choicesType || option.choices.map(literal).join(' | ');
    case 'text':
      return 'string';
    case 'numbers':
    case 'integers':
      return option.length ? `[${Array(option.length).fill('number').join(', ')}]` : 'readonly number[]';
    case 'texts':
      return 'readonly string[]';
    case 'rows':
      return 'readonly (readonly number[])[]';
    case 'seed':
      return 'bigint';
    case 'object':
      return option.switched ? `boolean | ${option.table}` : option.table;
    case 'given':
      return option.type;
    default:
      throw new Error(`an option of kind ${option.kind}`);
  }
}

function numberSchema({ kind, least, leastExcluded, most, mostExcluded }) {
  const lower = least === null ? '' : `.${leastExcluded ? 'gt' : 'min'}(${literal(least)})`;
  const upper = most === null ? '' : `.${mostExcluded ? 'lt' : 'max'}(${literal(most)})`;
  return `z.${kind === 'integer' || kind === 'integers' ? 'int' : 'number'}()${lower}${upper}`;
}

function valueSchema(option) {
  switch (option.kind) {
    case 'boolean':
      return 'z.boolean()';
    case 'number':
    case 'integer':
      return numberSchema(option);
    case 'choice':
      return `z.enum(${option.choicesType ? choicesName(option.choicesType) : literal(option.choices)})`;
    case 'text':
      return 'z.string()';
    case 'numbers':
    case 'integers': {
      const entry = numberSchema(option);
      return option.length ? `z.tuple([${Array(option.length).fill(entry).join(', ')}])` : `z.array(${entry})`;
    }
    case 'texts':
      return 'z.array(z.string())';
    case 'rows':
      return `z.array(z.array(${numberSchema(option)}))`;
    case 'seed':
      return 'z.bigint().min(0n).max(2n ** 64n - 1n)';
    case 'object':
      return option.switched ? `z.union([z.boolean(), ${schemaName(option.table)}])` : schemaName(option.table);
    default:
      throw new Error(`an option of kind ${option.kind}`);
  }
}

function memberSchema(option) {
  const schema = valueSchema(option);
  if (option.required) return schema;
  if (option.switched) return `${schema}.default(false)`;
  if (option.optional) return `${schema}.optional()`;
  return option.kind === 'object' ? `${schema}.prefault({})` : `${schema}.default(${literal(option.default)})`;
}

/** An option's sentence as its schema carries it, for the reference of configurations. */
function description({ text }) {
  const lines = [''];
  for (const word of text.replaceAll(/\{@link (\w+)\}/g, '`$1`').split(/(?<= )/)) {
    if (lines.at(-1) && lines.at(-1).length + word.length > 105) lines.push('');
    lines[lines.length - 1] += word;
  }
  return `.describe(${lines.map((line) => JSON.stringify(line)).join(' + ')})`;
}

function member(option) {
  const text = [option.text, rangeText(option)].filter(Boolean).join(' ');
  const value = option.switched ? false : option.default;
  const stated = option.required || option.optional || option.kind === 'object' ? option.switched : true;
  const type = option.required ? `${option.name}: ${typeOf(option)}` : `${option.name}?: ${typeOf(option)} | undefined`;
  return `${comment(text, '  ', stated ? [`@defaultValue ${literal(value)}`] : [])}\n  ${type};`;
}

const own = (table) => table.options.filter(({ inherited }) => !inherited);

function interfaceOf(table) {
  const heritage = table.base ? ` extends ${table.base}` : '';
  return `${comment(table.text)}\nexport interface ${table.name}${heritage} {\n${own(table).map(member).join('\n')}\n}`;
}

function schemaOf(table) {
  const members = own(table).map((option) => `  ${option.name}: ${memberSchema(option)}${description(option)},`);
  const inherited = table.base ? [`  ...${lowerFirst(table.base)},`] : [];
  const body = `{\n${[...inherited, ...members].join('\n')}\n}`;
  return table.validated
    ? `export const ${schemaName(table.name)} = z.strictObject(${body});`
    : `const ${lowerFirst(table.name)} = ${body};`;
}

/** The options with every default filled in, under the name by which a configuration asks for them. */
function settingsOf(table) {
  const open = table.options.filter((option) => option.optional && !option.switched).map(({ name }) => literal(name));
  const switched = table.options.filter((option) => option.switched);
  const apart = [...open, ...switched.map(({ name }) => literal(name))].join(' | ');
  const filled = [
    `Filled<${apart ? `Omit<${table.name}, ${apart}>` : table.name}>`,
    ...(open.length ? [`Pick<${table.name}, ${open.join(' | ')}>`] : []),
  ].join(', ');
  return [
    comment(`{@link ${table.name}} with every default filled in.`),
    `export interface ${table.name.replace(/Options$/, 'Settings')} extends ${filled} {`,
    '  /** The name says which algorithm these are of. */',
    `  name: ${literal(table.tag)};`,
    ...switched.flatMap((option) => [
      comment(option.text, '  '),
      `  ${option.name}: boolean | Filled<${option.table}>;`,
    ]),
    '}',
  ].join('\n');
}

const headline =
  '// Written by `npm run generate` from the descriptions in native/**/*_options.cpp: change those, not this.';

/** The options whose choices have a name, one of each name. */
const namedChoices = (tables) => [
  ...new Map(
    tables
      .flatMap(({ options }) => options)
      .filter(({ choicesType }) => choicesType)
      .map((option) => [option.choicesType, option]),
  ).values(),
];

function choicesFile({ tables, solverCosts }) {
  const choices = namedChoices(tables).map(({ choicesType, choicesText, choices }) => {
    const list = choicesName(choicesType);
    const type = `${comment(choicesText)}\nexport type ${choicesType} = (typeof ${list})[number];`;
    const names = comment(`The names that {@link ${choicesType}} may have.`);
    return `${names}\nexport const ${list} = ${literal(choices)} as const;\n\n${type}`;
  });
  const costs = Object.entries(solverCosts).map(
    ([name, { perStep, fewerAtData }]) => `  ${name}: { perStep: ${perStep}, fewerAtData: ${fewerAtData} },`,
  );
  const solverCostsText = [
    comment('The velocities that each solver asks for: for each step, and how many fewer where one ends at t = 1.'),
    'export const solverCosts: Readonly<Record<SolverName, Readonly<{ perStep: number; fewerAtData: number }>>> = {',
    ...costs,
    '};',
  ].join('\n');
  return [headline, ...choices, solverCostsText].join('\n\n');
}

/** The files beside the generated one that hold the types of what is given. */
const typeFiles = { './noise.js': ['Noise', 'PerSample'], './tensor.js': ['Device', 'DType', 'Tensor'] };

function importsOf(tables, bases) {
  const used = new Set(tables.flatMap(({ options }) => options.map(({ type }) => type)));
  const schemas = tables.filter(({ name, validated }) => validated || bases.has(name)).flatMap(own);
  const choices = namedChoices(tables).flatMap(({ choicesType: type }) => [
    ...(schemas.some(({ choicesType }) => choicesType === type) ? [choicesName(type)] : []),
    `type ${type}`,
  ]);
  const types = Object.entries(typeFiles)
    .map(([file, types]) => [file, types.filter((type) => used.has(type))])
    .filter(([, types]) => types.length)
    .map(([file, types]) => `import type { ${types.join(', ')} } from '${file}';`);
  return [`import { ${choices.join(', ')} } from './choices.generated.js';`, ...types].join('\n');
}

function optionsFile({ tables }) {
  const bases = new Set(tables.filter(({ validated }) => validated).map(({ base }) => base));
  return [
    headline,
    `import { z } from 'zod';\n\nimport type { Filled } from '../../schema/filled.js';\n${importsOf(tables, bases)}`,
    `${comment('The native core keeps whole numbers in 32 bits.')}\nconst largestInt = 2 ** 31 - 1;`,
    ...tables.flatMap((table) => [
      interfaceOf(table),
      ...(table.validated || bases.has(table.name) ? [schemaOf(table)] : []),
      ...(table.tag ? [settingsOf(table)] : []),
    ]),
  ].join('\n\n');
}

function networksFile({ networkTables: tables, networks }) {
  const kinds = networks.map(
    ({ name, config, interface: own }) => `  ${literal(name)}: { config: ${config}; interface: ${literal(own)} };`,
  );
  return [
    '// Written by `npm run generate` from native/nn/kind_list.h and native/nn/**/*_options.cpp: change those, ' +
      'not this.',
    ...tables.map(interfaceOf),
    comment("Each network's configuration, and the interface that it has.") +
      `\nexport interface NetworkKinds {\n${kinds.join('\n')}\n}`,
  ].join('\n\n');
}

const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
const formatted = (path, text) => run(process.execPath, [biome, 'format', `--stdin-file-path=${path}`], text);

const facts = described();
const files = {
  'choices.generated.ts': choicesFile(facts),
  'networks.generated.ts': networksFile(facts),
  'options.generated.ts': optionsFile(facts),
};
for (const [name, written] of Object.entries(files)) {
  const path = join(folder, name);
  const text = formatted(path, written);
  if (!process.argv.includes('--check')) {
    writeFileSync(join(root, path), text);
  } else if (readFileSync(join(root, path), 'utf8') !== text) {
    console.error(`${path} is not what the descriptions in native/ say: run \`npm run generate\``);
    process.exitCode = 1;
  }
}
