import { describe, expect, it } from 'vitest'
import { ConfigError, readOperatorConfig, USAGE } from './config.ts'

const read = (args: string[] = [], environment: Record<string, string> = {}) =>
  readOperatorConfig(['--image', 'img:1', ...args], environment, 'hublet-system')

function faultsOf(args: string[], environment: Record<string, string> = {}): readonly string[] {
  try {
    read(args, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

describe('the configuration of the operator', () => {
  it('needs an image and has a default for everything else', () => {
    expect(read()).toEqual({
      scope: { namespaces: ['hublet-system'] },
      namespace: 'hublet-system',
      leaseName: 'hublet-operator',
      lease: { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 },
      defaultRedisSecret: undefined,
      settings: {
        image: 'img:1',
        redisImage: 'docker.io/valkey/valkey:8.1',
        clusterDomain: 'cluster.local',
        operatorNamespace: 'hublet-system',
        routesAllowPrivate: false,
        logLevel: 'info',
      },
      concurrency: { hub: 4, device: 16, member: 4 },
      metrics: { host: '::', port: 9090 },
      health: { host: '::', port: 8081 },
      logLevel: 'info',
    })
  })

  it('takes flags, and variables where there is no flag', () => {
    const environment = {
      HUBLET_NAMESPACES: 'a, b,a',
      HUBLET_LOG_LEVEL: 'debug',
      HUBLET_DEFAULT_REDIS_SECRET: 'redis',
      HUBLET_IMAGE_PULL_POLICY: '',
    }
    const config = read(['--log-level', 'warn', '--health-address', '[::1]:0'], environment)
    expect(config).toMatchObject({
      scope: { namespaces: ['a', 'b'] },
      logLevel: 'warn',
      defaultRedisSecret: 'redis',
      health: { host: '::1', port: 0 },
    })
    expect(config.settings).not.toHaveProperty('imagePullPolicy')
    expect(read(['--all-namespaces', 'true', '--image-pull-policy', 'Never'])).toMatchObject({
      scope: 'all',
      settings: { imagePullPolicy: 'Never' },
    })
  })

  it.each([
    [
      ['--namespaces', 'a,B'],
      '--namespaces (HUBLET_NAMESPACES): expected names of namespaces with commas, got "a,B"',
    ],
    [
      ['--namespaces', ''],
      '--namespaces (HUBLET_NAMESPACES): expected names of namespaces with commas, got ""',
    ],
    [
      ['--all-namespaces', 'true', '--namespaces', 'a'],
      '--namespaces (HUBLET_NAMESPACES): expected nothing beside --all-namespaces true, got "a"',
    ],
    [
      ['--all-namespaces', 'yes'],
      '--all-namespaces (HUBLET_ALL_NAMESPACES): expected one of true, false, got "yes"',
    ],
    [['--image', 'a b'], '--image (HUBLET_IMAGE): expected the name of an image, got "a b"'],
    [
      ['--image-pull-policy', 'never'],
      '--image-pull-policy (HUBLET_IMAGE_PULL_POLICY): expected one of Always, IfNotPresent, Never, got "never"',
    ],
    [
      ['--device-concurrency', '0'],
      '--device-concurrency (HUBLET_DEVICE_CONCURRENCY): expected a whole number from 1 to 256, got "0"',
    ],
    [
      ['--metrics-address', '9090'],
      '--metrics-address (HUBLET_METRICS_ADDRESS): expected host:port, or :port for every address, got "9090"',
    ],
    [
      ['--health-address', 'h:70000'],
      '--health-address (HUBLET_HEALTH_ADDRESS): expected host:port, or :port for every address, got "h:70000"',
    ],
    [
      ['--lease-duration', '10'],
      '--lease-duration (HUBLET_LEASE_DURATION): expected more than --renew-deadline (10), got "10"',
    ],
    [
      ['--renew-deadline', '3'],
      '--renew-deadline (HUBLET_RENEW_DEADLINE): expected at least twice --retry-period (2), got "3"',
    ],
    [
      ['--log-level', 'loud'],
      '--log-level (HUBLET_LOG_LEVEL): expected one of fatal, error, warn, info, debug, trace, silent, got "loud"',
    ],
    [
      ['--default-redis-secret', 'a/b'],
      '--default-redis-secret (HUBLET_DEFAULT_REDIS_SECRET): expected a name of lower-case letters, digits, hyphens and dots, got "a/b"',
    ],
  ])('%j is refused with flag, expectation and value', (args, fault) => {
    expect(faultsOf(args)).toEqual([fault])
  })

  it('tells all faults at once, unknown flags included', () => {
    expect(faultsOf(['--nonsense'])).toEqual([expect.stringContaining("Unknown option '--nonsense'")])
    const none = () => readOperatorConfig([], { HUBLET_LOG_LEVEL: 'loud' }, 'own')
    expect(none).toThrow(/--image .*got nothing\n--log-level/)
  })

  it('explains every flag', () => {
    expect(USAGE).toContain('--default-redis-secret <name>')
    expect(USAGE).toContain('(default :9090)')
  })
})
