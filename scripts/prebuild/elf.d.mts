export interface Elf {
  machine: string;
  bytes: number;
  needed: string[];
  runpath: string[];
  exported: string[];
  floors: Record<string, string>;
  stripped: boolean;
}
export function inspectElf(path: string): Elf;
export function problemsOf(path: string): string[];
