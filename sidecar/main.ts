/** The process of the `routes` container in a broker pod: `node sidecar/main.ts`. See `--help`. */
import { runContainer } from '../broker/pod/run-container.ts'
import { readSidecarConfig, USAGE } from './config.ts'
import { RoutesProcess } from './routes-process.ts'

await runContainer({
  name: 'routes',
  usage: USAGE,
  read: readSidecarConfig,
  open: (config, logger) => new RoutesProcess(config, logger),
  words: { closing: 'the route worker closes', failed: 'the route worker could not be started' },
  exit: (code) => process.exit(code),
})
