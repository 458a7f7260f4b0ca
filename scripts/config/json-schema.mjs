// JSON Schemas of configurations, from the zod schemas that check them.

import { z } from 'zod';

/** Whether a node stands for what only code can make: a file does not hold it. */
const isCode = (node) => node.code === true;

/** zod's bounds of whole numbers, which say nothing to a reader. */
function withoutSafeBounds(node) {
  if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
  if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum;
}

/** A list that may also be the path of a file of such. */
function orFile(node) {
  const { orFile: _, description, type, items, minItems, ...rest } = node;
  for (const key of Object.keys(node)) delete node[key];
  Object.assign(node, rest, {
    anyOf: [
      { type: 'string', minLength: 1 },
      { type, items, minItems },
    ],
    description,
  });
}

/** zod's JSON Schema of what a schema takes, with the marks of lib/schema/configuration.ts in it. */
export function marked(schema) {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ jsonSchema }) {
      withoutSafeBounds(jsonSchema);
      if (jsonSchema.orFile) orFile(jsonSchema);
    },
  });
}

/** The marked schema as others read it: without marks, and without what is made in code. */
function plain(node) {
  if (Array.isArray(node)) return node.filter((each) => !isCode(each)).map(plain);
  if (typeof node !== 'object' || node === null) return node;
  const { typescript: _, also: __, code: ___, ...rest } = node;
  const entries = Object.entries(rest).map(([key, value]) => [key, key === 'default' ? value : plain(value)]);
  const { anyOf, ...others } = Object.fromEntries(entries);
  if (!anyOf) return others;
  return anyOf.length === 1 ? { ...anyOf[0], ...others } : { ...others, anyOf };
}

/** The JSON Schema of a job's configuration, as it is published. */
export function jsonSchemaOf(job, schema) {
  const { $schema, ...rest } = plain(marked(schema));
  const title = job === 'problem' ? 'A problem of eam fidelity' : `The configuration of eam ${job}`;
  return `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`;
}
