import type { Event } from '../events.ts';
import { resultLines, stageName, stageText } from './lines.ts';
import type { OutputStream, Reporter } from './output.ts';
import { describeAge, describeProgress, RunningStages } from './progress.ts';
import { createStyle, printable } from './style.ts';

const reminderInterval = 15_000;

/**
 * Lines for a log: one for every stage that ended, with the time of day (local); one every 15 s for each that still
 * runs, so that a log never goes silent; warnings, notes and the result.
 */
export function createPlainReporter(stream: OutputStream): Reporter {
  const style = createStyle({ color: false, unicode: false });
  const running = new RunningStages();
  const line = (text: string): void => void stream.write(`${text}\n`);
  const timed = (text: string): void => line(`${timeOfDay(new Date())}  ${text}`.trimEnd());
  const reminder = setInterval(() => {
    const now = performance.now();
    for (const stage of running.list.filter(({ started }) => now - started >= reminderInterval / 2)) {
      const age = describeAge(stage, now);
      timed(
        `${stageName(stage.name)}${[describeProgress(stage, now), `running for ${age}`].filter(Boolean).join(', ')}`,
      );
    }
  }, reminderInterval);
  reminder.unref();
  return {
    listener(event: Event) {
      running.follow(event, performance.now());
      if (event.type === 'stage-end' || event.type === 'stage-failed') timed(stageText(event));
      if (event.type === 'note') timed(printable(event.text));
      if (event.type === 'warning') timed(`warning: ${printable(event.text)}`);
      if (event.type === 'result') for (const text of resultLines(event, style)) line(text);
    },
    close: () => clearInterval(reminder),
  };
}

const timeOfDay = (date: Date): string =>
  [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
