export interface MemoryLimit {
  limits: string;
  prefix: string[];
  remove(): void;
}
export function group(bytes: number, groups: string): MemoryLimit | undefined;
export function memoryLimit(bytes: number, groups?: string): MemoryLimit | undefined;
