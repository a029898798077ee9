import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/cli/arguments.ts';
import { presentProofs, readProveOptions, requireProved } from '../../src/cli/prove.ts';
import { TreelineError } from '../../src/host/errors.ts';
import type { Release } from '../../src/model.ts';
import type { Proof } from '../../src/prove/prove.ts';
import type { WayReport } from '../../src/prove/report.ts';
import { manifestOf } from '../helpers/manifest.ts';

const ref = 'treeline/debian-12/x86_64/vm';
const newest: Release = {
  directory: '/out/debian-12/x86_64/vm/20260110.0',
  manifest: manifestOf({ ref, commit: 'c' }),
};

const proof = (result: 'proved' | 'failed' | 'nothing', ways: readonly WayReport[]): Proof => ({
  plan: { ref, target: 'vm', newest, from: [] },
  report: { format: 1, ref, version: '20260110.0', commit: 'c', result, time: '', ways },
});

const good: WayReport = {
  from: { version: '20260109.0', commit: 'b' },
  result: 'proved',
  steps: [],
  downloads: [
    { file: 'index.json', bytes: 100 },
    { file: 'x.delta', bytes: 900 },
  ],
};
const bad: WayReport = {
  ...good,
  from: { version: '20260101.0', commit: 'a' },
  result: 'failed',
  failure: {
    step: 'restart',
    reason: 'health: failed: network',
    output: 'the program’s words',
    console: ['first line', 'last line'],
    consoleLog: '/logs/console.log',
  },
};

const options = (line: string) =>
  readProveOptions(parseArguments(['prove', ...line.split(' ').filter(Boolean)], {}), '/checkout');

describe('the options of npm run prove', () => {
  it('have defaults', () => {
    expect(options('')).toEqual({
      selection: { base: undefined, targets: [] },
      memory: 256,
      uefi: false,
      timeout: 900,
      wayIn: '/checkout/overlays/prove/rootfs',
    });
  });

  it('choose images, and how they run', () => {
    expect(
      options('--base debian --target vm --target vm --target lxc --memory 128 --uefi --timeout 60'),
    ).toMatchObject({
      selection: { base: 'debian', targets: ['vm', 'lxc'] },
      memory: 128,
      uefi: true,
      timeout: 60,
    });
  });
});

describe('what npm run prove says', () => {
  it('names each way that was proved, what it was upgraded by, and the report', () => {
    expect(presentProofs([proof('proved', [good])])).toEqual({
      type: 'result',
      title: `${ref} 20260110.0: proved`,
      rows: [
        { label: 'vm from 20260109.0', value: 'upgraded by x.delta, rolled back', bytes: 1000 },
        { label: 'report', value: `${newest.directory}/proof.json`, path: `${newest.directory}/proof.json` },
      ],
      next: [],
    });
  });

  it('says how there will be something to prove', () => {
    const said = presentProofs([proof('nothing', [])]);
    expect(said).toMatchObject({ title: `${ref} 20260110.0: nothing to prove` });
    expect(said).toMatchObject({ next: [expect.stringContaining('--keep')] });
  });

  it('is an error where a way failed: step, reason, output, console, and where all of it is', () => {
    const fail = (): void => requireProved([proof('proved', [good]), proof('failed', [good, bad])]);
    expect(fail).toThrow(TreelineError);
    expect(fail).toThrow(
      expect.objectContaining({
        code: 'update',
        message: 'Cannot prove the release: 1 of 3 upgrades failed',
        output: [
          `${ref} from 20260101.0 to 20260110.0: restart failed: health: failed: network`,
          'the program’s words',
          'The last lines of its console:',
          '| first line',
          '| last line',
          'All of it: /logs/console.log',
        ].join('\n'),
        hint: expect.stringContaining(`${newest.directory}/proof.json`),
      }),
    );
  });

  it('is no error where all were proved', () => {
    expect(() => requireProved([proof('proved', [good]), proof('nothing', [])])).not.toThrow();
  });
});
