import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluatedFigure } from '../../scripts/lib/bench/figure.ts';
import { findMissing } from '../../src/host/tools.ts';
import { runScript, runScriptText } from '../e2e/program.ts';
import { temporaryDirectory } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';

const reason = lacks({ programs: [...findMissing(['build', 'container']).names, 'ssh-keygen'], root: true });

describe.skipIf(reason !== undefined)(
  `npm run bench${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    it('measures the groups that --only names, and writes figures and tables', async () => {
      const directory = temporaryDirectory();
      const [json, markdown] = [join(directory, 'figures.json'), join(directory, 'tables.md')];
      const only = '^(debian lxc nothing|alpine index)$';
      const options = ['--only', only, '--runs', '1', '--no-peers', '--json', json, '--markdown', markdown];
      const printed = await runScriptText('bench', options);
      const { figures, machine, aims } = JSON.parse(await readFile(json, 'utf8')) as {
        figures: EvaluatedFigure[];
        machine: { cores: number };
        aims: object[];
      };
      expect(figures.map(({ group, who, unit }) => `${group}: ${who}, ${unit}`)).toEqual([
        'debian lxc nothing: Treeline, seconds',
        'alpine index: verified and read, seconds',
        'alpine index: memory of the process, with the making of the index, bytes',
      ]);
      for (const { values, median } of figures) expect(values).toEqual([median]);
      expect(machine.cores).toBeGreaterThan(0);
      expect(aims).toHaveLength(1);
      expect(await readFile(markdown, 'utf8')).toContain(
        '| debian, LXC template, nothing changed | Treeline |',
      );
      expect(printed.trim()).toBe((await readFile(markdown, 'utf8')).trim());
    });

    it('names the groups that there are where --only fits none', async () => {
      const { exitCode, stderr } = await runScript('bench', ['--only', 'nonsense']);
      expect(exitCode).toBe(2);
      expect(stderr).toContain(
        'Cannot measure nonsense: no group matches it; there are debian vm cold, debian vm nothing,',
      );
    });
  },
);
