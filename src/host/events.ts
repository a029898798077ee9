/** What the library tells whoever watches: a terminal, a log, a program that reads JSON lines. Core code never prints. */
export type Event =
  | { type: 'stage-start'; stage: string }
  | {
      type: 'stage-progress';
      stage: string;
      done: number;
      total: number;
      unit: 'bytes' | 'packages' | 'deltas';
    }
  /** `reused`: nothing had to be done because the inputs did not change. */
  | { type: 'stage-end'; stage: string; seconds: number; reused: boolean; detail: string }
  | { type: 'stage-failed'; stage: string; seconds: number }
  | { type: 'note'; text: string }
  | { type: 'warning'; text: string }
  /** The end of a command: what was made, where, how big (bytes), and what to try next. */
  | { type: 'result'; title: string; rows: ResultRow[]; next: string[] };

export interface ResultRow {
  label: string;
  value: string;
  path?: string;
  bytes?: number;
}

export type Listener = (event: Event) => void;
