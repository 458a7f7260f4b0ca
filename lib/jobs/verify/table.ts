import { passes, relativeError, type Finding } from '../../models/verification/verification.js';

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
