import type { Clock } from '../../contract/clock.ts'

/** setTimeout fires at once for a longer delay (its argument is a signed 32-bit number of ms). */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    let timer: NodeJS.Timeout
    const arm = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMER_MS)
      timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step)
      timer.unref()
    }
    arm(ms)
    return () => clearTimeout(timer)
  },
}
