import { closest, distance } from 'fastest-levenshtein';

/** The name in `known` that a typing slip most likely meant, or undefined where none is close. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || name === '') return undefined;
  const candidate = closest(name, [...known]);
  const allowed = Math.max(2, Math.floor(name.length / 3));
  const startsAlike = candidate.startsWith(name) || name.startsWith(candidate);
  return distance(name, candidate) <= allowed || startsAlike ? candidate : undefined;
}

/** "did you mean …?" and the list of what exists, for an error's hint. */
export function knownNamesHint(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const list = known.length === 0 ? 'There are none.' : `Known: ${[...known].toSorted().join(', ')}.`;
  return nearest === undefined ? list : `Did you mean ${nearest}? ${list}`;
}
