import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

const home = fileURLToPath(new URL('..', import.meta.url));

/** Seconds of test files that take five or more, as `npm test -- --times` writes them. */
export const durationsFile = fileURLToPath(new URL('durations.json', import.meta.url));
export const readDurations = (): Record<string, number> =>
  JSON.parse(readFileSync(durationsFile, 'utf8')) as Record<string, number>;

/**
 * Test files of the levels tool and boot that run at the same time. As many as there are processors: with a third one, each
 * file took 1.6 times as long.
 */
export const workers = 2;

/** Seconds that the images of the boot tests take beside other tests: until then there is other work. */
const imagesTake = 240;

/**
 * Longest files first, so that no processor is idle in the end. The boot tests come when their images are there: until then
 * run the longest of the others.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const durations = readDurations();
    const secondsOf = ({ moduleId }: TestSpecification): number => durations[relative(home, moduleId)] ?? 1;
    const sorted = files.toSorted(
      (a, b) => secondsOf(b) - secondsOf(a) || (a.moduleId < b.moduleId ? -1 : 1),
    );
    const needsImages = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith('.boot.test.ts');
    const meanwhile: TestSpecification[] = [];
    let left = imagesTake * workers;
    for (const file of sorted) {
      if (needsImages(file) || left <= 0) continue;
      meanwhile.push(file);
      left -= secondsOf(file);
    }
    const first = new Set(meanwhile);
    const others = sorted.filter((file) => !first.has(file));
    return [...meanwhile, ...others.filter(needsImages), ...others.filter((file) => !needsImages(file))];
  }
}
