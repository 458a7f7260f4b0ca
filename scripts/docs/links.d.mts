export function documentsOf(files: readonly string[]): string[];
export function brokenLinks(root: string, files: readonly string[], documents: readonly string[]): string[];
export function brokenPages(folder: string): string[];
