import { join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import { listNames, readTextIfExists, writeFileAtomically } from '../host/files.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Asked, BuildOptions } from '../options.ts';

const askedSchema = z.strictObject({
  services: z.array(z.string()).exactOptional(),
  overlays: z.array(z.string()).exactOptional(),
  mirrors: z.array(z.string()).exactOptional(),
  lock: z.string().exactOptional(),
  layout: z.string().exactOptional(),
  sshKeys: z.array(z.string()).exactOptional(),
  updateUrl: z.string().exactOptional(),
  flat: z.boolean().exactOptional(),
  qcow2: z.boolean().exactOptional(),
}) satisfies z.ZodType<Asked>;

const choicesSchema = z.strictObject({
  /** Distribution and release: `debian-12`. */
  base: z.string(),
  arch: z.enum(['x86_64', 'aarch64']),
  target: z.enum(['vm', 'ovz', 'lxc']),
  asked: askedSchema,
});

/** An image that was built here, and what the command line said about it then. */
export type Choices = z.infer<typeof choicesSchema>;

const directoryOf = (workspace: Workspace): string => join(workspace.state, 'builds');

/** `ref`: treeline/<distro>-<release>/<arch>/<target>. */
export async function recordChoices(workspace: Workspace, ref: string, options: BuildOptions): Promise<void> {
  const { arch, target } = options.request;
  const path = join(directoryOf(workspace), `${ref.replaceAll('/', '-')}.json`);
  const text = `${JSON.stringify({ base: ref.split('/')[1], arch, target, asked: options.asked }, null, 2)}\n`;
  if ((await readTextIfExists(path)) !== text) await writeFileAtomically(path, text);
}

/** Of every image that this workspace has built, sorted by ref. */
export async function readChoices(workspace: Workspace): Promise<Choices[]> {
  const names = (await listNames(directoryOf(workspace))).filter(
    (name) => name.endsWith('.json') && !name.startsWith('.'),
  );
  const paths = names.map((name) => join(directoryOf(workspace), name));
  return Promise.all(paths.map(async (path) => parseChoices((await readTextIfExists(path))!, path)));
}

function parseChoices(text: string, path: string): Choices {
  try {
    return choicesSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new TreelineError(
      'update',
      `Cannot read ${path}, what was chosen when the image was built: it is damaged`,
      {
        hint: 'Build that image again with the options it had (npm run build:vm, …): that writes the file anew.',
        cause,
      },
    );
  }
}
