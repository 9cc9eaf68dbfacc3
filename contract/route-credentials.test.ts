import { expect, test } from 'vitest'
import { decodeRouteCredentials, encodeRouteCredentials, routeCredentialsFile } from './route-credentials.ts'

test('credentials come back as they were written, and their order changes nothing', () => {
  const values = { 's3.caSecretRef': 'PEM', 'rest.headers[X].secretKeyRef': 'ä "x"\n' }
  const text = encodeRouteCredentials({ values })
  expect(decodeRouteCredentials(text)).toEqual({ values })
  expect(encodeRouteCredentials({ values: Object.fromEntries(Object.entries(values).reverse()) })).toBe(text)
})

test.each(['', '{', 'null', '{}', '{"values":{"a":1}}', '{"values":[]}'])('%j is none', (text) => {
  expect(decodeRouteCredentials(text)).toBeUndefined()
})

test('each route has a file of its own', () => {
  expect(routeCredentialsFile('8f2c')).toBe('8f2c.json')
})
