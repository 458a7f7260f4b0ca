// What the reference and the types of configurations have in common: how a range and a default are told.

/** The native core keeps whole numbers in 32 bits: that goes without saying. */
const largestInt = 2 ** 31 - 1;

/** The values that a node may have, beside its type; '' where it says all. */
export function rangeOf(node) {
  const bounds = [
    ...(node.exclusiveMinimum !== undefined ? [`above ${node.exclusiveMinimum}`] : []),
    ...(node.minimum !== undefined ? [`at least ${node.minimum}`] : []),
    ...(node.exclusiveMaximum !== undefined ? [`below ${node.exclusiveMaximum}`] : []),
    ...(node.maximum !== undefined && node.maximum !== largestInt ? [`at most ${node.maximum}`] : []),
  ];
  if (node.type !== 'array') return bounds.join(' and ');
  const each = node.prefixItems?.[0] ?? node.items ?? {};
  const range = rangeOf(each);
  return [
    ...(node.prefixItems || !node.minItems
      ? []
      : [`at least ${node.minItems} ${node.minItems === 1 ? 'item' : 'items'}`]),
    ...(node.maxItems && !node.prefixItems ? [`at most ${node.maxItems} items`] : []),
    ...(range ? [`each ${range}`] : []),
  ].join(', ');
}

/** Whether a value says nothing: `{}`, of which every member has a default of its own. */
export const isEmpty = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;

/** Each alternative of a node; itself where it has none. */
export const alternatives = (node) => node.oneOf ?? node.anyOf ?? [node];
