import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../broker/pod/config-values.ts'
import { POD_DOOR } from '../contract/broker-pod.ts'
import { readSidecarConfig } from './config.ts'

const ENV = { HUBLET_HUB_UID: '0b1e2c3d-0000-4000-8000-000000000001' }

function faults(args: string[], env: Record<string, string>): readonly string[] {
  try {
    readSidecarConfig(args, env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

describe('readSidecarConfig', () => {
  it('takes what the operator gives, reaches no private address, and never the API server', () => {
    const env = { ...ENV, KUBERNETES_SERVICE_HOST: '10.96.0.1' }
    expect(readSidecarConfig([], env)).toEqual({
      hubUid: ENV.HUBLET_HUB_UID,
      hubName: '',
      hubNamespace: '',
      podName: '',
      logLevel: 'info',
      allowPrivate: false,
      allowLoopback: false,
      denied: ['10.96.0.1'],
      bind: '::',
      ports: { metrics: 9091, health: 8082 },
      folders: { redis: '/etc/hublet/redis', routes: '/etc/hublet/routes', tmp: '/tmp' },
      door: join('/tmp', POD_DOOR),
    })
  })

  it('takes every variable and every flag', () => {
    const env = {
      ...ENV,
      HUBLET_HUB_NAME: 'garden',
      HUBLET_HUB_NAMESPACE: 'home',
      HUBLET_POD_NAME: 'hub-garden-1',
      HUBLET_ROUTES_ALLOW_PRIVATE: 'true',
      HUBLET_LOG_LEVEL: 'debug',
    }
    const folders = ['--redis', 'a', '--routes', 'b', '--tmp', 'c']
    const args = [
      '--bind',
      '127.0.0.1',
      '--port',
      'metrics=0',
      '--port=health=9',
      ...folders,
      '--allow-loopback',
    ]
    expect(readSidecarConfig(args, env)).toMatchObject({
      ...{ hubName: 'garden', hubNamespace: 'home', podName: 'hub-garden-1', logLevel: 'debug' },
      ...{ allowPrivate: true, allowLoopback: true, denied: [], bind: '127.0.0.1' },
      ports: { metrics: 0, health: 9 },
      folders: { redis: 'a', routes: 'b', tmp: 'c' },
      door: 'c/hublet-broker.sock',
    })
  })

  it('names every fault at once', () => {
    const env = { HUBLET_ROUTES_ALLOW_PRIVATE: 'yes', HUBLET_LOG_LEVEL: 'loud' }
    expect(faults(['--port', 'mqtt=1', '--port', 'health=70000'], env)).toEqual([
      'HUBLET_HUB_UID: expected the uid of a Hub, got nothing',
      'HUBLET_LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, got "loud"',
      'HUBLET_ROUTES_ALLOW_PRIVATE: expected true or false, got "yes"',
      '--port: expected metrics=<number> or health=<number>, got "mqtt=1"',
      '--port: expected metrics=<number> or health=<number>, got "health=70000"',
    ])
    expect(faults(['--bogus'], ENV)).toEqual([expect.stringContaining('--bogus')])
  })
})
