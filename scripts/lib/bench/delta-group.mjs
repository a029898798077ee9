// How small an update is, and how long it takes to make: our deltas, and what others make of the same trees and images.
import { join } from 'node:path';
import { fs } from 'zx';
import { removeAll, runAsRoot, timed } from './command.mjs';
import { checkOut } from './ostree.mjs';
import { lacking } from './peers.mjs';

/** Seconds that one of the others may take. */
const limit = 240;

/** Those that make the new version out of the old one. $1, $2: the old and the new tar; $3: the new image; $4: the result. */
const differences = [
  { who: 'xdelta3 -9', program: 'xdelta3', script: 'xdelta3 -q -e -9 -B 536870912 -s "$1" "$2" "$4"' },
  {
    who: 'zstd -19 --patch-from',
    program: 'zstd',
    script: 'zstd -q -19 -T0 --long=27 --patch-from="$1" "$2" -o "$4"',
  },
  { who: 'bsdiff', program: 'bsdiff', script: 'bsdiff "$1" "$2" "$4"' },
];

/** Those that pack the new version as a whole. */
const wholes = [
  { who: 'tar.xz', program: 'xz', script: 'xz -T0 -c "$2" >"$4"' },
  { who: 'image, zstd -19', program: 'zstd', script: 'zstd -q -19 -T0 "$3" -o "$4"' },
];

/**
 * `updated`: puts the workspace into the state after an update, and returns false where there is none; `stages`: of that
 * update.
 */
export function deltaGroup(bench, base, { updated, stages }) {
  const name = `${base.name} deltas`;
  const run = async () => {
    if (!(await updated())) {
      bench.leaveOut(name, 'there is no update');
      return;
    }
    const { files, delta, whole } = await gather(base);
    const between = { group: name, title: `${base.name}, the update as a file` };
    const complete = { group: `${name} whole`, title: `${base.name}, the new version as a file` };
    bench.record({ ...between, ...ours, unit: 'bytes', values: [delta] });
    await compare(bench, { ...between, others: differences, files });
    if (whole !== undefined) bench.record({ ...complete, ...ours, unit: 'bytes', values: [whole] });
    await compare(bench, { ...complete, others: wholes, files });
    for (const { seconds } of stages().filter(({ stage }) => /delta/.test(stage))) {
      const title = `${base.name}, our deltas of this update, all together`;
      bench.record({ ...between, title, who: 'Treeline', role: 'fact', unit: 'seconds', values: [seconds] });
    }
    await removeAll(files.directory);
  };
  return { name, run };
}

const ours = { who: 'Treeline', role: 'ours', does: 'the files of out/updates that machines download' };

/** What is compared: tars of both trees, both images; and the sizes of our deltas. */
async function gather({ builds, directory: parent }) {
  const directory = join(parent, 'deltas');
  await removeAll(directory);
  await fs.ensureDir(directory);
  const { workspace } = builds;
  const { commit, parent: before } = await builds.manifest('vm');
  const tar = async (id, name) => {
    const tree = await checkOut({ workspace, commit: id, to: join(directory, name) });
    const path = `${tree}.tar`;
    const options = ['--sort=name', '--mtime=@0', '--numeric-owner', '--format=gnu'];
    await runAsRoot('tar', ['-C', tree, ...options, '-cf', path, '.']);
    await removeAll(tree);
    return path;
  };
  const { deltas } = await fs.readJson(join(workspace, 'out/updates/index.json'));
  const bytesOf = (from) => deltas.find((delta) => delta.to === commit && delta.from === from)?.bytes;
  const image = (await builds.artifacts('vm')).find(({ kind }) => kind === 'disk-image').path;
  return {
    files: { directory, inputs: [await tar(before, 'old'), await tar(commit, 'new'), image] },
    delta: bytesOf(before),
    whole: bytesOf(null),
  };
}

/** Runs each of the others once: the sizes are the same every time. */
async function compare(bench, { group, title, others, files: { directory, inputs } }) {
  const times = [];
  for (const { who, program, script } of bench.peers ? others : []) {
    const missing = lacking(program);
    if (missing !== undefined) {
      bench.leaveOut(who, missing);
      continue;
    }
    bench.say(`${group}: ${who}`);
    const result = join(directory, 'result');
    await removeAll(result);
    try {
      const seconds = await timed(() =>
        runAsRoot('sh', ['-ec', `exec ${script}`, 'sh', ...inputs, result], { limit, name: who }),
      );
      bench.record({
        group,
        title,
        who,
        role: 'peer',
        unit: 'bytes',
        values: [(await fs.stat(result)).size],
      });
      times.push({ who, seconds });
    } catch (error) {
      bench.leaveOut(`${who} in “${group}”`, error.message);
    }
  }
  for (const { who, seconds } of times) {
    const timeTitle = `${title}: time to make it`;
    bench.record({ group, title: timeTitle, who, role: 'peer', unit: 'seconds', values: [seconds] });
  }
}
