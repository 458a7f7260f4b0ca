/** Whether any layer of these names, below `prefix`, is among those with an adapter. */
export function adaptedIn(adapted: readonly string[], prefix: string): (...names: string[]) => boolean {
  const all = new Set(adapted);
  return (...names) => names.some((name) => all.has(prefix + name));
}

/**
 * Numbers that are alive in the backward pass through blocks, of each of which autograd keeps `kept`, or with
 * checkpointing the inputs alone. One block's inputs are as many as its results, `both`; `transient` is alive at once.
 */
export function trainedNumbers(kept: readonly number[], both: number, transient: number, checkpointing: boolean) {
  const all = checkpointing ? kept.length * both + Math.max(...kept) : kept.reduce((sum, block) => sum + block, 0);
  return all + transient + 2 * both;
}
