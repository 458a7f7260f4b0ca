/**
 * The models that come with the package, by name; the first is the one that is drawn with where nobody names another.
 */
export const shippedModels: readonly [string, ...string[]] = ['digits'];
