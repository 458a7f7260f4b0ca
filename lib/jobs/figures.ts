// How jobs write numbers for people, with a minus sign that is one.

/** Writes a number with so many digits behind the point. */
export const fixed = (value: number, digits: number): string => value.toFixed(digits).replace('-', '−');

/** Writes a number likewise, and its sign also where it is positive. */
export const signed = (value: number, digits: number): string => `${value < 0 ? '' : '+'}${fixed(value, digits)}`;

export const whole = (value: number): string => new Intl.NumberFormat('en', { maximumFractionDigits: 0 }).format(value);

/** Writes a share of 1 as `93.4 %`. */
export const percent = (value: number): string => `${fixed(100 * value, 1)} %`;

/** `3.2×`. */
export const times = (value: number): string => `${value >= 10 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1)}×`;

/** Writes a dash where there is no value. */
export const known = (value: number | null | undefined, write: (value: number) => string): string =>
  value === null || value === undefined ? '–' : write(value);
