import { isInstalled } from '../../src/host/tools.ts';

/**
 * What this machine lacks for a test, as the reason to skip it; undefined where it has all. In CI nothing may be
 * missing: there it throws, and the test file fails.
 */
export function lacks(needs: { programs?: readonly string[]; root?: boolean }): string | undefined {
  const missing = (needs.programs ?? []).filter((program) => !isInstalled(program));
  if (needs.root === true && process.getuid?.() !== 0) missing.push('root');
  if (missing.length === 0) return undefined;
  const reason = `this machine lacks ${missing.join(', ')}`;
  if (process.env['CI']) throw new Error(`${reason}; ./scripts/setup installs it`);
  return reason;
}
