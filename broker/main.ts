/** The process of a broker pod: `node broker/main.ts`. See `--help`. */
import { setTimeout as delay } from 'node:timers/promises'
import { readPodConfig, USAGE } from './pod/config.ts'
import { PodProcess } from './pod/pod-process.ts'
import { runContainer } from './pod/run-container.ts'

/** How long clients are still let in after readiness went off: Services need a moment to notice. */
const DRAIN_MS = 3_000
/**
 * A broker that lost its hub to another gives way for so long, then ends to be started anew and take the hub
 * back. In a roll-out it is ended by then; if the other one has died, the hub is served again.
 */
const GIVE_WAY_MS = 60_000

await runContainer({
  name: 'broker',
  usage: USAGE,
  read: readPodConfig,
  open(config, logger, end) {
    const pod = new PodProcess({
      config,
      logger,
      onFenced: () => void setTimeout(() => end(undefined, 'gave way; starting anew'), GIVE_WAY_MS),
    })
    return {
      start: () => pod.start(),
      async stop(signal) {
        pod.drain()
        await delay(signal === 'SIGTERM' ? DRAIN_MS : 0)
        await pod.stop()
      },
    }
  },
  words: { closing: 'the hub closes', failed: 'the hub could not be opened' },
  exit: (code) => process.exit(code),
})
