import fc from 'fast-check'
import { expect, test } from 'vitest'
import { filterFault, topicFault } from '../../contract/topic.ts'
import { API_VERSION } from '../../crds/meta.ts'
import { FILTER_MAX_LENGTH } from '../../crds/topics.ts'
import { validate } from '../../crds/validate.ts'

const device = (topic: string) => ({
  apiVersion: API_VERSION,
  kind: 'Device',
  metadata: { name: 'lamp' },
  spec: { hubRef: { name: 'home' }, messageFilters: { publish: { topics: [topic] } } },
})

const network = (topicPrefix: string) => ({
  apiVersion: API_VERSION,
  kind: 'Network',
  metadata: { name: 'web' },
  spec: { hubRef: { name: 'home' }, type: 'REST', topicPrefix },
})

const text = fc.oneof(
  fc.string({
    unit: fc.constantFrom('+', '#', '/', 'a', '$', ' ', '\0', '\x1f', '\x7f', '\x85', '\uFFFD', 'é'),
  }),
  fc.string({ unit: fc.constantFrom('+', '/', 'a', '#'), maxLength: 8 }),
  fc.integer({ min: 95, max: 105 }).map((levels) => Array.from({ length: levels }, () => 'a').join('/')),
)

test('the rule of the CRD and the check of the broker agree on every topic filter', () => {
  fc.assert(
    fc.property(text, (filter) => {
      // Shared subscriptions make no sense in a device filter; the rule leaves them to the broker.
      if (filter.startsWith('$share') || filter.length > FILTER_MAX_LENGTH) return
      expect(validate(device(filter)).valid).toBe(filterFault(filter) === undefined)
    }),
    { seed: 1, numRuns: 3000 },
  )
})

test('a prefix that the CRD takes makes a valid topic of every valid topic that leaves room for it', () => {
  fc.assert(
    fc.property(text, (prefix) => {
      if (prefix === '' || !validate(network(prefix)).valid) return
      const fault = topicFault(`${prefix}/a`)
      expect(fault === undefined || fault === 'has more than 100 levels').toBe(true)
    }),
    { seed: 2, numRuns: 3000 },
  )
})
