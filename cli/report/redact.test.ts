import { describe, expect, it } from 'vitest'
import { redactObject, redactText } from './redact.ts'

const CANARY = 'canary4f1d'

const TEXTS: Record<string, string> = {
  'a password of a URL': `redis://hub:${CANARY}@redis:6379/0 refused`,
  'a user that is a token': `https://${CANARY}@git.example.com/x`,
  'the query of a URL': `POST https://api.example.com/hook?key=${CANARY}&a=b failed`,
  'a header of HTTP': `Authorization: Bearer ${CANARY}`,
  'basic credentials': `got Basic ${CANARY}`,
  'a word and its value': `password=${CANARY} user=a`,
  'a word with a prefix': `REDIS_PASSWORD: "${CANARY} and more"`,
  'a field of JSON': `{"token":"${CANARY}","a":1}`,
  'a JSON Web Token': `eyJhbGciOi.${CANARY}.${CANARY}`,
  'a verifier': `scrypt$16384$8$1$${CANARY}$${CANARY}`,
  'a private key': `x -----BEGIN EC PRIVATE KEY-----\n${CANARY}\n-----END EC PRIVATE KEY----- y`,
  'half a private key': `-----BEGIN PRIVATE KEY-----\n${CANARY}`,
}

const OBJECTS: Record<string, unknown> = {
  'what kubectl applied last': {
    metadata: {
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': `{"stringData":{"a":"${CANARY}"}}` },
    },
  },
  'an annotation of somebody': { metadata: { annotations: { 'vault.example.com/what': CANARY } } },
  'a header of a route': { spec: { rest: { headers: [{ name: 'X-Api', value: CANARY }] } } },
  'a variable of a pod': { containers: [{ env: [{ name: 'ANYTHING', value: CANARY }] }] },
  'a field whose name says it': { spec: { sasl: { password: CANARY } } },
  'a field of others': { spec: { apiKey: CANARY, webhookToken: CANARY } },
  'managed fields': { metadata: { managedFields: [{ manager: CANARY }] } },
}

describe('a support bundle leaves out', () => {
  it.each(Object.entries(TEXTS))('%s', (_, text) => {
    expect(redactText(text)).toContain('<redacted>')
    expect(redactText(text)).not.toContain(CANARY)
  })

  it.each(Object.entries(OBJECTS))('%s', (_, object) => {
    expect(JSON.stringify(redactObject(object))).not.toContain(CANARY)
  })
})

describe('a support bundle keeps', () => {
  it.each([
    'spec.rest.headers[Authorization].secretKeyRef: there is no Secret token',
    'listener mqtts cannot bind 0.0.0.0:8883: EADDRINUSE',
    'mqtts://hub.example.com:8883',
    '2026-01-01T00:00:00Z hub garden: 3 devices',
  ])('%s', (text) => {
    expect(redactText(text)).toBe(text)
  })

  it('references, settings of ours, and what is said of an object', () => {
    const object = {
      metadata: { name: 'a', annotations: { 'iot.hublet.dev/rotate': '1' } },
      spec: {
        tokenSecretRef: { name: 'mine', key: 'token' },
        imagePullSecrets: [{ name: 'pull' }],
        env: [{ name: 'HUBLET_LISTENERS', value: 'mqtts' }],
      },
      status: { tokenSecretName: 'network-a-token', conditions: [{ type: 'Ready', message: 'all is well' }] },
    }
    expect(redactObject(object)).toEqual(object)
  })
})
