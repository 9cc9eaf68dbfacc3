import { describe, expect, it } from 'vitest'
import { readPodConfig } from './config.ts'
import { ConfigError } from './config-values.ts'

const ENV = { HUBLET_HUB_UID: '0b1e2c3d-0000-4000-8000-000000000001', HUBLET_LISTENERS: 'mqtts,wss' }

function faults(args: string[], env: Record<string, string>): readonly string[] {
  try {
    readPodConfig(args, env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

describe('readPodConfig', () => {
  it('takes what the operator gives, and defaults for the rest', () => {
    expect(readPodConfig([], ENV)).toEqual({
      hubUid: ENV.HUBLET_HUB_UID,
      hubName: '',
      hubNamespace: '',
      podName: '',
      listeners: ['mqtts', 'wss'],
      durability: 'Fsync',
      redisGraceSeconds: 60,
      logLevel: 'info',
      bind: '::',
      ports: {
        mqtt: 1883,
        mqtts: 8883,
        ws: 8083,
        wss: 8084,
        http: 8080,
        https: 8443,
        metrics: 9090,
        health: 8081,
      },
      folders: { serverTls: '/etc/hublet/server-tls', redis: '/etc/hublet/redis', tmp: '/tmp' },
    })
  })

  it('takes every variable and every flag', () => {
    const env = {
      ...ENV,
      HUBLET_HUB_NAME: 'garden',
      HUBLET_HUB_NAMESPACE: 'home',
      HUBLET_POD_NAME: 'hub-garden-1',
      HUBLET_LISTENERS: ' mqtt , ',
      HUBLET_REDIS_DURABILITY: 'Replicated',
      HUBLET_REDIS_GRACE_SECONDS: '7',
      HUBLET_LOG_LEVEL: 'debug',
    }
    const args = [
      '--bind',
      '127.0.0.1',
      '--port',
      'mqtt=0',
      '--port=health=9',
      '--server-tls',
      'a',
      '--redis=b',
    ]
    expect(readPodConfig(args, env)).toMatchObject({
      hubName: 'garden',
      hubNamespace: 'home',
      podName: 'hub-garden-1',
      listeners: ['mqtt'],
      durability: 'Replicated',
      redisGraceSeconds: 7,
      logLevel: 'debug',
      bind: '127.0.0.1',
      ports: { mqtt: 0, health: 9, metrics: 9090 },
      folders: { serverTls: 'a', redis: 'b' },
    })
  })

  it('takes a hub without listeners', () => {
    expect(readPodConfig([], { ...ENV, HUBLET_LISTENERS: '' }).listeners).toEqual([])
  })

  it.each<[string, string[], Record<string, string>, string]>([
    ['no hub', [], { HUBLET_LISTENERS: 'mqtt' }, 'HUBLET_HUB_UID: expected the uid of a Hub, got nothing'],
    [
      'a uid that could name other keys',
      [],
      { ...ENV, HUBLET_HUB_UID: '*' },
      'HUBLET_HUB_UID: expected the uid of a Hub, got "*"',
    ],
    [
      'no listeners',
      [],
      { HUBLET_HUB_UID: 'a' },
      'HUBLET_LISTENERS: expected names out of mqtt, mqtts, ws, wss, http, https with commas, got nothing',
    ],
    [
      'an unknown listener',
      [],
      { ...ENV, HUBLET_LISTENERS: 'mqtt,coap' },
      'HUBLET_LISTENERS: expected names out of mqtt, mqtts, ws, wss, http, https with commas, got "mqtt,coap"',
    ],
    [
      'an unknown durability',
      [],
      { ...ENV, HUBLET_REDIS_DURABILITY: 'fsync' },
      'HUBLET_REDIS_DURABILITY: expected one of Fsync, Replicated, Relaxed, got "fsync"',
    ],
    [
      'a grace of nothing',
      [],
      { ...ENV, HUBLET_REDIS_GRACE_SECONDS: '0' },
      'HUBLET_REDIS_GRACE_SECONDS: expected a whole number from 1 to 86400, got "0"',
    ],
    [
      'a grace that is no number',
      [],
      { ...ENV, HUBLET_REDIS_GRACE_SECONDS: '1m' },
      'HUBLET_REDIS_GRACE_SECONDS: expected a whole number from 1 to 86400, got "1m"',
    ],
    [
      'an unknown log level',
      [],
      { ...ENV, HUBLET_LOG_LEVEL: 'loud' },
      'HUBLET_LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, got "loud"',
    ],
    [
      'a port of an unknown name',
      ['--port', 'coap=1'],
      ENV,
      '--port: expected <name>=<number>, name one of mqtt, mqtts, ws, wss, http, https, metrics, health, got "coap=1"',
    ],
    [
      'a port out of range',
      ['--port', 'mqtt=65536'],
      ENV,
      '--port mqtt: expected a whole number from 0 to 65535, got "65536"',
    ],
  ])('refuses %s', (_, args, env, fault) => {
    expect(faults(args, env)).toEqual([fault])
  })

  it('refuses a flag that it does not know, and tells of every fault at once', () => {
    const found = faults(['--prot', 'mqtt=1'], { HUBLET_LISTENERS: 'x', HUBLET_LOG_LEVEL: 'x' })
    expect(found).toHaveLength(4)
    expect(found[0]).toContain("'--prot'")
  })
})
