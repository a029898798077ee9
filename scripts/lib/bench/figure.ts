/** What was measured, of one participant in one group. */
export interface Figure {
  /** As `--only` knows it. */
  group: string;
  /** The same in words, for the table. Figures with one title stand together. */
  title: string;
  who: string;
  /**
   * ours: Treeline; peer: does the same job; part: does a part of it; floor: what no builder can do without; fact: stands
   * for itself.
   */
  role: 'ours' | 'peer' | 'part' | 'floor' | 'fact';
  /** What that participant does, in one line. */
  does?: string | undefined;
  unit: 'seconds' | 'bytes';
  /** One a run. */
  values: readonly number[];
}

export interface EvaluatedFigure extends Figure {
  median: number;
  least: number;
  most: number;
  /** How many times what Treeline has in the same group and unit; null where there is nothing to compare. */
  ratio: number | null;
}
