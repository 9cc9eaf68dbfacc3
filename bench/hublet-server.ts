/**
 * A Hublet broker to be measured: memory store, links without certificates, one device a connection, and
 * identity and message filters on, as in use. Prints its ports as one line of JSON.
 */
import { pino } from 'pino'
import { createBroker } from '../broker/create-broker.ts'
import { MemoryStateSource } from '../broker/state/memory-state-source.ts'
import { createMemoryStore } from '../broker/store/memory-store.ts'
import { device, hubState } from '../test-support/hub-state.ts'
import { CLIENTS, clientId } from './scenario.ts'

const filters = (index: number) => ({
  policy: 'Accept' as const,
  topics: [`devices/${clientId(index)}/#`, 'bench/all', 'bench/pairs/+'],
})
const devices = Array.from({ length: CLIENTS }, (_, index) =>
  device({
    id: clientId(index),
    name: `bench-${index}`,
    filters: { publish: filters(index), subscribe: filters(index) },
  }),
)
const broker = await createBroker({
  state: new MemoryStateSource(hubState({ devices })),
  store: createMemoryStore(),
  listeners: { mqtt: { host: '127.0.0.1', port: 0 } },
  logger: pino({ level: 'silent' }),
})
process.stdout.write(`${JSON.stringify(broker.ports)}\n`)
