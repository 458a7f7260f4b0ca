import { EamError } from '../../errors.js';
import { passes, relativeError, type Finding } from '../../models/verification/finding.js';

/** What was found in all. */
export interface VerifySummary {
  passed: number;
  failed: number;
  notChecked: number;
}

export function summarize(findings: readonly Finding[]): VerifySummary {
  const compared = findings.filter((finding) => 'error' in finding);
  const passed = compared.filter(passes).length;
  return { passed, failed: compared.length - passed, notChecked: findings.length - compared.length };
}

export const tableHeader = '   error        golden';

/** A golden's line: the error relative to its scale, whether it passes, its name. */
export function tableLine(finding: Finding): string {
  if (!('error' in finding)) return `       -  ----  ${finding.name}: not checked: ${finding.notChecked}`;
  const failure = passes(finding)
    ? ''
    : `: off by ${finding.error.toPrecision(3)}, the golden reaches ${finding.scale.toPrecision(3)}`;
  const verdict = failure ? 'FAIL' : 'pass';
  return `${relativeError(finding).toExponential(1).padStart(8)}  ${verdict}  ${finding.name}${failure}`;
}

export function summaryLine({ passed, failed, notChecked }: VerifySummary, tolerance: number): string {
  const left = notChecked ? `, ${notChecked} not checked` : '';
  return `${passed} of ${passed + failed} goldens within ${tolerance} of their scale${left}`;
}

/** Findings with what follows from each: the relative error, and whether it passes. */
export function findingsJson(findings: readonly Finding[]): object[] {
  return findings.map((finding) =>
    'error' in finding ? { ...finding, relative: relativeError(finding), passes: passes(finding) } : finding,
  );
}

/** @throws EamError where a golden differs, or none was compared */
export function refuseFailed(directory: string, { passed, failed }: VerifySummary, tolerance: number): void {
  const compared = passed + failed;
  if (compared === 0) throw new EamError('ERR_EAM_VERIFY', `${directory}: no golden could be compared`);
  if (failed === 0) return;
  throw new EamError(
    'ERR_EAM_VERIFY',
    `${directory}: ${failed} of ${compared} goldens differ by more than ${tolerance} of their scale`,
  );
}
