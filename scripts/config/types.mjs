// The TypeScript types of configurations, with their documentation.

import { isEmpty, rangeOf } from './words.mjs';

const literal = (value) => (typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : JSON.stringify(value));

/** A documentation comment, wrapped to 120 columns. */
function comment(paragraphs, indent) {
  const whole = `${indent}/** ${paragraphs.join(' ')} */`;
  if (whole.length <= 118 - Math.max(0, indent.length - 2)) return whole;
  // The formatter indents what is nested once more.
  const width = 118 - Math.max(0, indent.length - 2);
  const lines = [];
  for (const paragraph of paragraphs) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line && `${indent} * ${line} ${word}`.length > width) {
        lines.push(line);
        line = '';
      }
      line += (line && ' ') + word;
    }
    lines.push(line);
  }
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`].join('\n');
}

function documentation(node, indent) {
  const whole = node.type === 'integer' ? ['a whole number'] : [];
  const range = [...whole, ...(rangeOf(node) ? [rangeOf(node)] : [])].join(', ');
  const text = [node.description, ...(range && node.type !== 'array' ? [`It is ${range}.`] : [])].join(' ');
  const stated = node.default === undefined || isEmpty(node.default) ? [] : [`@defaultValue ${literal(node.default)}`];
  return comment([text.replaceAll('@', '\\@').replaceAll('{', '\\{').replaceAll('}', '\\}'), ...stated], indent);
}

function membersOf({ properties, required = [] }, indent) {
  return Object.entries(properties)
    .map(([name, node]) => {
      const optional = !required.includes(name);
      const type = typeOf(node, indent);
      const declared = optional ? `${name}?: ${type} | undefined;` : `${name}: ${type};`;
      return `${documentation(node, indent)}\n${indent}${declared}`;
    })
    .join('\n');
}

/** What a node takes. */
function typeOf(node, indent) {
  const { also, ...own } = node;
  if (also) return `${typeOf(own, indent)} | ${also}`;
  if (node.typescript) return node.typescript;
  if (node.const !== undefined) return literal(node.const);
  if (node.enum) return node.enum.map(literal).join(' | ');
  const several = node.oneOf ?? node.anyOf;
  if (several) return several.map((each) => typeOf(each, indent)).join(' | ');
  switch (node.type) {
    case 'array': {
      if (node.prefixItems) return `readonly [${node.prefixItems.map((each) => typeOf(each, indent)).join(', ')}]`;
      const each = typeOf(node.items, indent);
      return `readonly ${/[|\s{]/.test(each) ? `(${each})` : each}[]`;
    }
    case 'object':
      if (node.properties) return `{\n${membersOf(node, `${indent}  `)}\n${indent}}`;
      // What is said of a value of any type is nothing.
      return `Readonly<Record<string, ${typeOf(node.additionalProperties, indent)}>>`;
    case 'integer':
      return 'number';
    case undefined:
      return 'unknown';
    default:
      return node.type;
  }
}

/** The properties that all of several objects have alike, which are written once; none of a single object. */
function alike([first, ...others]) {
  if (others.length === 0 || ![first, ...others].every(({ properties }) => properties)) return {};
  const key = ({ properties, required = [] }, name) => JSON.stringify([properties[name], required.includes(name)]);
  const names = Object.keys(first.properties);
  const shared = names.filter((name) => others.every((other) => key(other, name) === key(first, name)));
  const { required = [] } = first;
  return {
    properties: Object.fromEntries(shared.map((name) => [name, first.properties[name]])),
    required: required.filter((name) => shared.includes(name)),
  };
}

const without = (node, properties) => ({
  ...node,
  properties: Object.fromEntries(Object.entries(node.properties).filter(([name]) => !(name in properties))),
});

/** An exported type: an interface of one object, a union of several, with what all of them have before it. */
export function exportedType(name, text, node) {
  const { typescript: _, also: __, ...own } = node;
  const head = comment([text], '');
  if (own.properties) return `${head}\nexport interface ${name} {\n${membersOf(own, '  ')}\n}`;
  const several = (own.oneOf ?? own.anyOf).filter((each) => !each.code);
  const shared = alike(several);
  const each = several.map((one) => typeOf(shared.properties ? without(one, shared.properties) : one, '  '));
  const union = `\n  | ${each.join('\n  | ')}`;
  if (Object.keys(shared.properties ?? {}).length === 0) return `${head}\nexport type ${name} =${union};`;
  return `${head}\nexport type ${name} = {\n${membersOf(shared, '  ')}\n} & (${union});`;
}
