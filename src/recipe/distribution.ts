import { TreelineError } from '../host/errors.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { Distribution, Request } from '../model.ts';
import type { ResolvedBase } from './bases.ts';
import type { OriginLog } from './history.ts';
import type { LayerFile } from './layer-file.ts';
import type { ReadLayerFile } from './layer-reader.ts';
import type { Problems } from './problems.ts';

/**
 * What the base's layers say that the distribution is, for the architecture of the request. Throws TreelineError
 * 'usage' for an architecture that the base does not have; all else that is wrong is a problem.
 */
export function mergeDistribution(
  files: readonly ReadLayerFile[],
  {
    request,
    base,
    log,
    problems,
  }: { request: Request; base: ResolvedBase; log: OriginLog; problems: Problems },
): Distribution {
  type Facts = NonNullable<LayerFile['distribution']>;
  let facts: Facts = {};
  for (const { layer, file, origin } of files) {
    const isBase = layer.name.startsWith('base/');
    if (file.release !== undefined && layer.name !== `base/${base.distro}`) {
      problems.add(origin('release'), `release: only base/${base.distro}/layer.yaml may say it`);
    }
    if (file.distribution === undefined) continue;
    if (!isBase) problems.add(origin('distribution'), 'distribution: only layers below base/ may say it');
    for (const key of Object.keys(file.distribution))
      log.record(`distribution.${key}`, origin('distribution', key));
    facts = {
      ...facts,
      ...file.distribution,
      architectures: { ...facts.architectures, ...file.distribution.architectures },
    };
  }
  const { id = base.distro, name = id, codename = '', packages, architectures = {} } = facts;
  const architecture = architectures[request.arch];
  const baseLayer = files.find(({ layer }) => layer.name === `base/${base.distro}`);
  if (packages === undefined && baseLayer !== undefined) {
    problems.add(baseLayer.origin('distribution'), 'distribution.packages is missing; it must be deb or apk');
  }
  if (architecture === undefined && problems.count === 0) {
    throw new TreelineError(
      'usage',
      `Cannot build for ${request.arch}: base ${base.distro}-${base.release} does not have it`,
      {
        hint: knownNamesHint(request.arch, Object.keys(architectures)),
      },
    );
  }
  return {
    id,
    name,
    release: base.release,
    codename,
    packages: packages ?? 'deb',
    architecture: architecture ?? '',
  };
}
