/** A few endpoints of a prompt hold nearly all the weight where the share is below this. */
const least = 0.05;

/** So many prompts are named; the others are counted. */
const named = 3;

const percent = (share: number) => `${(100 * share).toPrecision(2)} %`;

/** Says in a line how well the weights of pretrained endpoints are spread, and warns in another where they are not. */
export function describeShares(shares: ReadonlyMap<string, number>): string[] {
  const sorted = [...shares].sort(([, one], [, other]) => one - other);
  const middle = sorted[Math.floor(sorted.length / 2)]![1];
  const line =
    `endpoints: an effective ${percent(middle)} of a prompt's carry the weight (the median; the least ` +
    `${percent(sorted[0]![1])})`;
  const few = sorted.filter(([, share]) => share < least);
  if (few.length === 0) return [line];
  const names = few.slice(0, named).map(([prompt, share]) => `"${prompt}" ${percent(share)}`);
  const others = few.length > named ? ` and ${few.length - named} more` : '';
  return [
    line,
    `warning: under ${percent(least)} at ${names.join(', ')}${others}: a few samples will be learned by heart. A ` +
      'smaller lambda or more endpointsPerPrompt help, and algorithm.modes=true in place of endpoints=pretrained ' +
      'draws from the model as it learns',
  ];
}
