import { EamError } from '../errors.js';
import type { ModelDType } from '../models/model.js';
import { summarize, summaryLine, tableHeader, tableLine } from '../jobs/verify/table.js';
import { passes, relativeError, type Finding } from '../models/verification/verification.js';
import { tolerances, verify } from '../jobs/verify/verify.js';

interface VerifyFlags {
  reward?: string;
  tower?: string;
  device: string;
  dtype: ModelDType;
  json?: boolean;
}

/** Prints the table. @throws EamError where a golden differs, or none was compared */
export async function runVerify(
  directory: string,
  { json, ...options }: VerifyFlags,
  signal: AbortSignal,
): Promise<void> {
  const findings: Finding[] = [];
  const print = (line: string) => void (json || process.stdout.write(`${line}\n`));
  const onNote = (message: string) => void process.stderr.write(`${message}\n`);
  const tolerance = tolerances[options.dtype];
  print(tableHeader);
  for await (const finding of verify(directory, { ...options, tolerance, onNote })) {
    signal.throwIfAborted();
    findings.push(finding);
    print(tableLine(finding));
  }
  const summary = summarize(findings);
  print(summaryLine(summary, tolerance));
  if (json) {
    const goldens = findings.map((finding) =>
      'error' in finding ? { ...finding, relative: relativeError(finding), passes: passes(finding) } : finding,
    );
    process.stdout.write(`${JSON.stringify({ directory, ...options, tolerance, ...summary, goldens }, null, 2)}\n`);
  }
  if (summary.passed + summary.failed === 0)
    throw new EamError('ERR_EAM_VERIFY', `${directory}: no golden could be compared`);
  if (summary.failed) {
    throw new EamError(
      'ERR_EAM_VERIFY',
      `${directory}: ${summary.failed} of ${summary.passed + summary.failed} goldens differ by more than ${tolerance} of their scale`,
    );
  }
}
