/**
 * An operator in miniature, for tests to start, suspend and kill: as long as it may, it creates one object after
 * another. Arguments: kubeconfig file, namespace, identity.
 */
import { KubeConfig } from '@kubernetes/client-node'
import pino from 'pino'
import { createApiClient } from './api-client.ts'
import { systemClock } from './clock.ts'
import { guardWrites } from './guard-writes.ts'
import { LeaderElection } from './leader.ts'

const [file = '', namespace = '', identity = ''] = process.argv.slice(2)
const kubeConfig = new KubeConfig()
kubeConfig.loadFromFile(file)
const client = createApiClient({ kubeConfig })
const election = new LeaderElection({
  client,
  clock: systemClock,
  random: Math.random,
  logger: pino({ level: 'silent' }),
  namespace,
  name: 'test-lease',
  identity,
  leaseDurationMs: 3_000,
  renewDeadlineMs: 2_000,
  retryMs: 300,
})
process.once('SIGTERM', () => void election.stop())
// The election's own timers do not hold the process.
const hold = setInterval(() => {}, 1_000)
election.start()
await election.whenElected(AbortSignal.timeout(60_000))
process.stdout.write('leading\n')
const writer = guardWrites(client, election)
for (let n = 0; !election.lost.aborted; n += 1) {
  const metadata = { name: `write-${identity}-${n}` }
  const body = { metadata, data: { holder: identity } }
  await writer
    .request({ method: 'POST', path: `/api/v1/namespaces/${namespace}/configmaps`, body })
    .catch(() => {})
}
process.stdout.write('lost\n')
clearInterval(hold)
client.close()
