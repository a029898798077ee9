import { join } from 'node:path';
import { minimalEnvironment } from '../host/environment.ts';
import type { Surroundings } from './surroundings.ts';

/** The checkout and the machine as they are, with a workspace of its own. */
export const openHere = (home: string, scratch: string): Surroundings => ({
  name: 'here',
  checkout: home,
  workspace: join(scratch, 'here'),
  // Node may lie outside of the PATH that programs are looked for in.
  enter: (argv) => ({ argv: ['env', ...argv], env: { ...minimalEnvironment() } }),
});
