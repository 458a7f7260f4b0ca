export const published: Record<
  string,
  { variant: 'cpu' | 'cuda'; libtorch: { variant: 'cpu' | 'cuda'; version: string } }
>;
export const files: string[];
export function missingFrom(prebuilds: string, revision: string): string[];
