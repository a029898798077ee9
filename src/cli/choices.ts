import { join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import { listNames, readTextIfExists, writeFileAtomically } from '../host/files.ts';
import type { Workspace } from '../host/workspace.ts';
import type { BuildOptions } from '../options.ts';

/**
 * What the user chose for an image when it was built, so that `build-update` builds the same image again without
 * being told twice. Paths are absolute.
 */
const choicesSchema = z.strictObject({
  base: z.string(),
  arch: z.enum(['x86_64', 'aarch64']),
  target: z.enum(['vm', 'ovz', 'lxc']),
  services: z.array(z.string()),
  overlays: z.array(z.string()),
  mirrors: z.array(z.string()),
  layout: z.string(),
  sshKeys: z.array(z.string()),
  updateUrl: z.string(),
  flat: z.boolean(),
});
export type Choices = z.infer<typeof choicesSchema>;

const directoryOf = (workspace: Workspace): string => join(workspace.state, 'builds');

export async function recordChoices(workspace: Workspace, ref: string, options: BuildOptions): Promise<void> {
  const { request, packages, layout, sshKeys, updateUrl, flat } = options;
  const choices: Choices = {
    base: request.base,
    arch: request.arch,
    target: request.target,
    services: [...request.services],
    overlays: [...request.extraLayers],
    mirrors: [...packages.mirrors],
    layout,
    sshKeys: [...sshKeys],
    updateUrl,
    flat,
  };
  const path = join(directoryOf(workspace), `${ref.replaceAll('/', '-')}.json`);
  const text = `${JSON.stringify(choices, null, 2)}\n`;
  if ((await readTextIfExists(path)) !== text) await writeFileAtomically(path, text);
}

/** Of every image that this workspace has built, sorted by ref. */
export async function readChoices(workspace: Workspace): Promise<Choices[]> {
  const names = (await listNames(directoryOf(workspace))).filter(
    (name) => name.endsWith('.json') && !name.startsWith('.'),
  );
  const texts = await Promise.all(names.map((name) => readTextIfExists(join(directoryOf(workspace), name))));
  return texts.map((text, index) => parseChoices(text!, join(directoryOf(workspace), names[index]!)));
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
