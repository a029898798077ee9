import type { Architecture, Recipe, Target } from '../../model.ts';

/** What the files around a template tell of it. */
export interface ImageFacts {
  ref: string;
  target: Target;
  /** As in os-release: `debian`. */
  distribution: string;
  /** For people: `Debian GNU/Linux`. */
  distributionName: string;
  release: string;
  architecture: Architecture;
  version: string;
  /** Seconds since 1970. */
  epoch: number;
}

export function imageFacts(
  { ref, distribution, request }: Pick<Recipe, 'ref' | 'distribution' | 'request'>,
  { version, epoch }: { version: string; epoch: number },
): ImageFacts {
  return {
    ref,
    target: request.target,
    distribution: distribution.id,
    distributionName: distribution.name,
    release: distribution.release,
    architecture: request.arch,
    version,
    epoch,
  };
}
