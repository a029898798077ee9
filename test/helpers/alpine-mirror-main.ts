/**
 * A program for people who try things by hand: makes the tests' Alpine mirror. Arguments: the directory to make it in, a
 * directory with the Debian packages of a built VM image (WORKSPACE/.treeline/cache/packages).
 *
 *     npx esbuild test/helpers/alpine-mirror-main.ts --bundle --platform=node --format=esm --packages=external --outdir=dist/test
 *     node dist/test/alpine-mirror-main.js DIRECTORY WORKSPACE/.treeline/cache/packages
 */
import { makeAlpineMirror } from './alpine-mirror.ts';
import { alpineRelease } from './alpine-fetch.ts';
import { alpineMissing } from './alpine-repository.ts';

const [directory, debs] = process.argv.slice(2);
if (directory === undefined || debs === undefined) throw new Error('arguments: DIRECTORY DEBS');
if (alpineMissing !== undefined) throw new Error(alpineMissing);
const mirror = await makeAlpineMirror(directory, debs);
await mirror.publish();
process.stdout.write(
  `npm run build:vm -- --base alpine-${alpineRelease} --mirror ${mirror.directory} --overlay ${mirror.overlay}\n`,
);
