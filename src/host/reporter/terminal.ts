import type { Event } from '../events.ts';
import { LiveBlock } from './live-block.ts';
import { resultLines, stageLine, stageName } from './lines.ts';
import type { OutputStream, Reporter } from './output.ts';
import type { RunningStage } from './progress.ts';
import { describeAge, describeProgress, fractionDone, RunningStages } from './progress.ts';
import type { Style } from './style.ts';
import { printable } from './style.ts';

const frameInterval = 100;
const barWidth = 20;

/** For a person at a terminal: finished stages as lines, below them one live line for each stage that runs. */
export function createTerminalReporter(stream: OutputStream, style: Style): Reporter {
  const running = new RunningStages();
  const block = new LiveBlock(stream, style.more);
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const draw = (): void => {
    const now = performance.now();
    block.draw(running.list.map((stage) => liveLine(stage, { now, frame, style })));
  };
  const animate = (): void => {
    if (running.list.length === 0) {
      clearInterval(timer);
      timer = undefined;
    } else if (timer === undefined) {
      timer = setInterval(() => {
        frame += 1;
        draw();
      }, frameInterval);
      timer.unref();
    }
  };
  stream.on?.('resize', draw);
  return {
    listener(event: Event) {
      running.follow(event, performance.now());
      const lines = linesFor(event, style);
      if (lines.length > 0) block.print(lines);
      // Progress comes far more often than an eye can follow: the timer draws it.
      if (event.type !== 'stage-progress') draw();
      animate();
    },
    close() {
      clearInterval(timer);
      timer = undefined;
      stream.off?.('resize', draw);
      block.draw([]);
    },
  };
}

function linesFor(event: Event, style: Style): string[] {
  switch (event.type) {
    case 'stage-end':
    case 'stage-failed':
      return [stageLine(event, style)];
    case 'note':
      return [`  ${printable(event.text)}`];
    case 'warning':
      return [`${style.yellow('warning:')} ${printable(event.text)}`];
    case 'result':
      return ['', ...resultLines(event, style)];
    case 'stage-start':
    case 'stage-progress':
      return [];
  }
}

/** `⠹ packages    ██████░░░░░░░░ 12 MiB of 58 MiB, 8.1 MiB/s  1.5 s` */
function liveLine(
  stage: RunningStage,
  { now, frame, style }: { now: number; frame: number; style: Style },
): string {
  const spinner = style.spinner[frame % style.spinner.length]!;
  const parts = [bar(fractionDone(stage), style), describeProgress(stage, now), describeAge(stage, now)];
  return `${spinner} ${stageName(stage.name)}${parts.filter(Boolean).join('  ')}`;
}

function bar(fraction: number | undefined, style: Style): string {
  if (fraction === undefined) return '';
  const full = Math.floor(fraction * barWidth);
  return style.barFull.repeat(full) + style.barEmpty.repeat(barWidth - full);
}
