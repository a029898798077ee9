import type { Event } from '../events.ts';
import { formatBytes, formatSeconds } from './units.ts';

/** A stage that is running, as the reporters remember it. Times in milliseconds of one clock. */
export interface RunningStage {
  name: string;
  started: number;
  progress?: Progress;
}

type Progress = Pick<Extract<Event, { type: 'stage-progress' }>, 'done' | 'total' | 'unit'>;

/** Stages between their start and their end, in the order they started. */
export class RunningStages {
  readonly #stages = new Map<string, RunningStage>();

  get list(): readonly RunningStage[] {
    return [...this.#stages.values()];
  }

  /** Takes account of an event at time `now`. */
  follow(event: Event, now: number): void {
    switch (event.type) {
      case 'stage-start':
        this.#stages.set(event.stage, { name: event.stage, started: now });
        break;
      case 'stage-progress': {
        const { done, total, unit } = event;
        const stage = this.#stages.get(event.stage) ?? { name: event.stage, started: now };
        this.#stages.set(event.stage, { ...stage, progress: { done, total, unit } });
        break;
      }
      case 'stage-end':
      case 'stage-failed':
        this.#stages.delete(event.stage);
        break;
      case 'note':
      case 'warning':
      case 'result':
        break;
    }
  }
}

/** What of a stage is done, in words: `12 MiB of 58 MiB, 8.1 MiB/s`, `12 of 82 packages`; empty where it did not say. */
export function describeProgress(stage: RunningStage, now: number): string {
  if (stage.progress === undefined) return '';
  const { done, total, unit } = stage.progress;
  if (unit !== 'bytes') return total > 0 ? `${done} of ${total} ${unit}` : `${done} ${unit}`;
  const amount = total > 0 ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done);
  const seconds = (now - stage.started) / 1000;
  // The first moments say nothing of a rate.
  return seconds < 0.5 || done === 0 ? amount : `${amount}, ${formatBytes(done / seconds)}/s`;
}

/** How much of a stage is done, from 0 to 1; undefined where that is not known. */
export function fractionDone({ progress }: RunningStage): number | undefined {
  if (progress === undefined || progress.total <= 0) return undefined;
  return Math.min(1, Math.max(0, progress.done / progress.total));
}

export const describeAge = (stage: RunningStage, now: number): string =>
  formatSeconds((now - stage.started) / 1000);
