// How the report and the summary write numbers.

/** Writes a number with so many digits behind the point, and a minus sign that is one. */
export const fixed = (value: number, digits: number): string => value.toFixed(digits).replace('-', '−');
export const whole = (value: number): string => new Intl.NumberFormat('en', { maximumFractionDigits: 0 }).format(value);
export const percent = (value: number): string => `${fixed(100 * value, 1)} %`;

/** `3.2×`. */
export const times = (value: number): string => `${value >= 10 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1)}×`;
