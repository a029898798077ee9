import { availableParallelism } from 'node:os';
import type { Host } from '../host/host.ts';
import { isInstalled } from '../host/tools.ts';
import type { Surroundings } from './surroundings.ts';
import { runProgram } from './surroundings.ts';

/** What surroundings turned out to be like, by names for people. */
export type Facts = Readonly<Record<string, string>>;

/** A program of sh(1) that says what it finds; "$1": a directory that it may fill. */
const look = `
mkdir -p "$1/probe"
for name in a b c d e f g h i j k l m n o p q r s t u v w x y z; do : >"$1/probe/$name"; done
echo "directory order: $(echo $(ls -U "$1/probe"))"
rm -r "$1/probe"
echo "date: $(LC_ALL=C date -u +%Y-%m-%d)"
echo "time zone: $TZ"
echo "locale: $LC_ALL"
echo "umask: $(umask)"
echo "host name: $(uname -n)"
echo "path: $1"
echo "home: $HOME"
echo "user: $(id -u)"
echo "processors: $(nproc)"
`;

/** Asks the surroundings themselves. */
export async function probe(host: Host, surroundings: Surroundings): Promise<Facts> {
  const told = await runProgram(host, surroundings, ['sh', '-c', look, 'sh', surroundings.workspace]);
  return Object.fromEntries(
    told.split('\n').flatMap((line) => {
      const colon = line.indexOf(': ');
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 2)]];
    }),
  );
}

/** Pure: what of the facts is another one elsewhere, and what is the same. */
export function compareFacts(here: Facts, elsewhere: Facts): { varied: string[]; same: string[] } {
  const names = Object.keys(here);
  return {
    varied: names.filter((name) => here[name] !== elsewhere[name]),
    same: names.filter((name) => here[name] === elsewhere[name]),
  };
}

/** Why a fact is the same in both, and what would change that. */
export function whySame(name: string): string {
  const reasons: Readonly<Record<string, string>> = {
    date: isInstalled('faketime')
      ? 'faketime has no effect on this machine'
      : 'faketime is not installed: run ./scripts/setup',
    'directory order':
      'no other file system can be mounted here: only root may, where there are loop devices',
    processors:
      availableParallelism() === 1 ? 'this machine has one' : 'taskset is not installed: run ./scripts/setup',
    user: 'both are built by this one; docs/rootless.md tells how another one builds',
  };
  return reasons[name] ?? 'it could not be changed here';
}
