/** A program for tests: boots as `npm run boot` does, in its own terminal. Arguments: workspace, BootOptions as JSON. */
import type { BootOptions } from '../../src/guest/boot.ts';
import { bootImage } from '../../src/guest/boot.ts';
import { createHost } from '../../src/host/host.ts';
import { silentLog } from '../../src/host/log.ts';
import { createReporter, formatError } from '../../src/host/reporter/reporter.ts';
import { openWorkspace } from '../../src/host/workspace.ts';

const [root, options] = process.argv.slice(2) as [string, string];
const workspace = openWorkspace(root);
const reporter = createReporter({ mode: 'plain', stream: process.stdout });
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const host = createHost({
  workspace,
  log: silentLog,
  signal: stop.signal,
  listeners: [reporter.listener],
});
try {
  process.exitCode = await bootImage(host, JSON.parse(options) as BootOptions);
} catch (error) {
  process.stderr.write(`${formatError(error)}\n`);
  process.exitCode = 70;
}
