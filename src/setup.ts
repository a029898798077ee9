import { TreelineError } from './host/errors.ts';
import { pathExists, writeFileAtomically } from './host/files.ts';
import type { Host } from './host/host.ts';
import type { Purpose } from './host/tools.ts';
import { findMissing, isInstalled, packageManager } from './host/tools.ts';

const initialSettings = `# Defaults for this workspace; options on the command line go before them. docs/settings.md lists what may stand here.
base: debian
`;

/** Makes the machine ready: installs the missing host tools and writes treeline.yaml where there is none. */
export async function setUp(host: Host, { minimal }: { minimal: boolean }): Promise<void> {
  const building: Purpose[] = ['build', 'vm', 'container'];
  const purposes: Purpose[] = minimal ? building : [...building, 'boot', 'test'];
  await host.stage(
    'tools',
    () => installTools(host, purposes),
    (installed) =>
      installed.length === 0
        ? { reused: true, detail: 'nothing is missing' }
        : { detail: `installed ${installed.join(' ')}` },
  );
  const settings = host.workspace.settingsFile;
  if (!(await pathExists(settings))) {
    await writeFileAtomically(settings, initialSettings);
    host.emit({ type: 'note', text: `Wrote ${settings}: the default base is debian` });
  }
}

async function installTools(host: Host, purposes: readonly Purpose[]): Promise<readonly string[]> {
  const { packages } = findMissing(purposes);
  if (packages.length === 0) return [];
  const commands =
    packageManager() === 'apk'
      ? [['apk', 'add', ...packages]]
      : [
          ['apt-get', 'update', '--quiet=2'],
          ['apt-get', 'install', '--yes', '--quiet=2', '--no-install-recommends', ...packages],
        ];
  const byHand = commands.map((command) => command.join(' ')).join(' && ');
  const root = process.getuid?.() === 0;
  if (!root && !isInstalled('sudo')) {
    throw new TreelineError('host', `Cannot install ${packages.join(', ')}: only root can`, {
      hint: `Run as root: ${byHand}`,
    });
  }
  for (const [program, ...args] of commands) {
    await host.run({
      program: root ? program! : 'sudo',
      args: root ? args : [program!, ...args],
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      doing: `install ${packages.join(', ')}`,
      hint: `Install them by hand, then run ./scripts/setup again: ${byHand}`,
    });
  }
  const { names } = findMissing(purposes);
  if (names.length === 0) return packages;
  throw new TreelineError(
    'host',
    `Cannot find ${names.join(', ')} although ${packages.join(', ')} were installed`,
    {
      hint: 'Your distribution may keep them in packages of other names; install those by hand.',
    },
  );
}
