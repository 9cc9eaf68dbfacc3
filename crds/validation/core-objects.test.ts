import { describe, expect, test } from 'vitest'
import { validate } from '../validate.ts'
import { formatFieldError } from './field-error.ts'

const secret = (fields: object) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'token' },
  ...fields,
})
const configMap = (fields: object) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'ca' },
  ...fields,
})

test.each([
  ['a Secret with text', secret({ stringData: { token: 'abc' } })],
  ['a Secret with base64', secret({ type: 'Opaque', data: { token: 'YWJj' } })],
  ['a Secret with base64 over several lines', secret({ data: { token: 'YWJj\nYWJj\n' } })],
  ['an empty Secret', secret({})],
  ['a TLS Secret', secret({ type: 'kubernetes.io/tls', stringData: { 'tls.crt': 'a', 'tls.key': 'b' } })],
  ['a ConfigMap', configMap({ data: { 'ca.crt': 'PEM' }, binaryData: { x: 'YQ==' }, immutable: true })],
])('%s is taken as it is', (_, manifest) => {
  expect(validate(manifest)).toEqual({ valid: true, value: manifest })
})

describe('what is refused', () => {
  test.each([
    ['data that is no base64', secret({ data: { token: 'not base64!' } }), ['data.token']],
    ['a value that is a number', secret({ stringData: { pin: 1234 } }), ['stringData.pin']],
    ['a field that does not exist', secret({ stringdata: { token: 'a' } }), ['stringdata']],
    ['a key that no volume can hold', secret({ stringData: { 'a/b': 'x' } }), ['stringData["a/b"]']],
    [
      'a TLS Secret without a key',
      secret({ type: 'kubernetes.io/tls', data: { 'tls.crt': 'YQ==' } }),
      ['data["tls.key"]'],
    ],
    ['a ConfigMap with nested values', configMap({ data: { a: { b: 'c' } } }), ['data.a']],
    ['a name in upper case', secret({ metadata: { name: 'Token' } }), ['metadata.name']],
    ['no name', secret({ metadata: {} }), ['metadata.name']],
    ['no metadata', secret({ metadata: undefined }), ['metadata']],
  ])('%s', (_, manifest, fields) => {
    const result = validate(manifest)
    expect(result.valid ? [] : result.errors.map(({ field }) => field)).toEqual(fields)
  })
})

test('no message repeats a value of a Secret', () => {
  const manifest = secret({
    data: { a: 'hunter2!', 'x hunter2': 'YQ==' },
    stringData: { b: 2222, c: ['hunter2'], 'tls/hunter2': 'hunter2' },
    hunter2field: 'hunter2',
  })
  const result = validate(manifest)
  if (result.valid) expect.unreachable()
  else {
    const values = result.errors.map(({ got }) => got).join('\n')
    expect(result.errors.length).toBeGreaterThanOrEqual(4)
    expect(values).not.toContain('hunter2!')
    expect(values).not.toContain('2222')
    expect(result.errors.map(formatFieldError).join('\n')).not.toContain(': hunter2')
  }
})
