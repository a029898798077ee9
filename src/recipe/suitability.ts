import { TreelineError } from '../host/errors.ts';
import type { Request } from '../model.ts';
import type { ResolvedBase } from './bases.ts';
import type { ReadLayerFile } from './layer-reader.ts';

/** Throws TreelineError 'usage' for a layer that is not made for this base, or for a service that it cannot be combined with. */
export function checkSuitability(
  files: readonly ReadLayerFile[],
  { request, base }: { request: Request; base: ResolvedBase },
): void {
  for (const { layer, file } of files) {
    if (file.bases !== undefined && !file.bases.includes(base.distro)) {
      throw new TreelineError(
        'usage',
        `Cannot use ${layer.name} on base ${base.distro}: it is for ${file.bases.join(', ')} only`,
        { hint: `Leave it out, or choose --base ${file.bases[0]}.` },
      );
    }
    const rival = (file.conflicts ?? []).find((name) => request.services.includes(name));
    if (rival !== undefined) {
      throw new TreelineError('usage', `Cannot combine ${layer.name} with the service ${rival}`, {
        hint: `Leave one of them out; --service ${rival}- takes ${rival} away.`,
      });
    }
  }
}
