export interface Resources {
  registers: number;
  stack: number;
  spillStores: number;
  spillLoads: number;
}
export interface Vectors {
  loads: number;
  stores: number;
}
export const kernels: Record<string, string[]>;
export function readResources(text: string): Map<string, Resources>;
export function readVectors(text: string): Map<string, Vectors>;
export function problemsOf(
  source: string,
  resources: Map<string, Resources>,
  vectors: Map<string, Vectors> | undefined,
): string[];
