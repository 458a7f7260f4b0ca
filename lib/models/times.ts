/** `steps` equal steps from 0 to 1: `steps` + 1 times. */
export function evenTimes(steps: number): number[] {
  return Array.from({ length: steps + 1 }, (_, step) => step / steps);
}
