export function guidesOf(text: string): { path: string; name: string; group: string }[];
export function unlistedGuides(text: string, files: readonly string[]): string[];
