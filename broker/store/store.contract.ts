import { describe } from 'vitest'
import type { StoreUnderTest } from './store.fixture.ts'
import { acceptContract } from './store-accept.contract.ts'
import { storeProperties } from './store-properties.contract.ts'
import { queueContract } from './store-queue.contract.ts'
import { reopenContract } from './store-reopen.contract.ts'

/** What every store promises. `durable`: `reopen` finds everything again. */
export function storeContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
  { durable }: { durable: boolean },
): void {
  describe(`${name} keeps the promises of a store:`, () => {
    acceptContract(makeStore)
    queueContract(makeStore)
    reopenContract(makeStore, durable)
    storeProperties(makeStore, durable)
  })
}
