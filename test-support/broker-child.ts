/**
 * A broker in a process of its own, driven over IPC by `broker-process.ts`: for tests that attack it and then
 * ask whether it lives, what it used and what it said.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { type Broker, createBroker } from '../broker/create-broker.ts'
import { MemoryStateSource } from '../broker/state/memory-state-source.ts'
import { createMemoryStore } from '../broker/store/memory-store.ts'
import { createSqliteStore } from '../broker/store/sqlite-store.ts'
import type { Answer, Question } from './broker-process.ts'

const eventCounts: Record<string, number> = {}
/** Stands among the events, so that no attack passes that only an error in the log tells of. */
const errorLog = {
  write(line: string) {
    eventCounts['LOGGED_ERROR'] = (eventCounts['LOGGED_ERROR'] ?? 0) + 1
    process.stderr.write(line)
  },
}
let broker: Broker | undefined
let source: MemoryStateSource | undefined

async function answer(question: Question): Promise<Answer> {
  switch (question.ask) {
    case 'start': {
      source = new MemoryStateSource(question.state)
      broker = await createBroker({
        state: source,
        store: question.storePath === undefined ? createMemoryStore() : createSqliteStore(question.storePath),
        listeners: Object.fromEntries(
          question.listeners.map((name) => [name, { host: '127.0.0.1', port: 0 }]),
        ),
        credentials: question.credentials,
        logger: pino({ level: 'error' }, errorLog),
        onEvent: ({ code }) => {
          eventCounts[code] = (eventCounts[code] ?? 0) + 1
        },
      })
      return { ports: broker.ports }
    }
    case 'replace':
      source?.replace(question.state)
      return {}
    case 'memory':
      return { memory: await settledMemory() }
    case 'events':
      return { eventCounts }
    case 'stop':
      await broker?.stop()
      return {}
  }
}

/** After collections with turns in between, so that finalisers and closing sockets have run. */
async function settledMemory(): Promise<NodeJS.MemoryUsage> {
  for (let i = 0; i < 4; i++) {
    global.gc?.()
    await delay(50)
  }
  return process.memoryUsage()
}

process.on('message', (message: Question & { id: number }) => {
  answer(message).then(
    (value) => process.send?.({ id: message.id, value }),
    (error: Error) => process.send?.({ id: message.id, error: error.stack }),
  )
})
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
