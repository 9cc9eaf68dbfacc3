/**
 * Side-by-side figures on this machine: every broker gets the same load from the same generator, round by
 * round in turn, so that a change of the machine's mood hits all alike. Prints a table of medians with ratios
 * to the first broker. Absolute figures mean nothing elsewhere; ratios closer than 10 % need 7 rounds.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { runProgram } from '../test-support/run-program.ts'
import { type BenchBroker, BROKERS } from './brokers.ts'
import type { GeneratorJob } from './generator.ts'
import { formatReport } from './report.ts'
import { type Measured, SCENARIOS, type Scenario } from './scenario.ts'

const USAGE = `node bench/run.ts [--rounds 3] [--seconds 4] [--warm-up 1.5] [--scenarios a,b,c,d,a1,…]
  [--brokers mosquitto,hublet] [--out docs/…]`

interface Settings {
  rounds: number
  seconds: number
  warmUpSeconds: number
  scenarios: readonly Scenario[]
  brokers: readonly BenchBroker[]
  out?: string
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      'warm-up': { type: 'string', default: '1.5' },
      scenarios: { type: 'string', default: SCENARIOS.map((s) => s.key).join(',') },
      brokers: { type: 'string', default: BROKERS.map((b) => b.name).join(',') },
      out: { type: 'string' },
    },
  })
  const { out } = values
  return {
    rounds: positive('--rounds', values.rounds),
    seconds: positive('--seconds', values.seconds),
    warmUpSeconds: positive('--warm-up', values['warm-up']),
    scenarios: pick('--scenarios', values.scenarios, new Map(SCENARIOS.map((s) => [s.key, s]))),
    brokers: pick('--brokers', values.brokers, new Map(BROKERS.map((b) => [b.name, b]))),
    ...(out === undefined ? {} : { out }),
  }
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`${option}: expected a number above 0, got "${text}"\n${USAGE}`)
  return value
}

function pick<T>(option: string, text: string, known: ReadonlyMap<string, T>): T[] {
  return text.split(',').map((key) => {
    const found = known.get(key)
    if (found === undefined) {
      throw new Error(`${option}: expected one of ${[...known.keys()].join(', ')}, got "${key}"\n${USAGE}`)
    }
    return found
  })
}

/** Broker on core 0, generator on core 1, where the machine can do that. */
async function pinning(): Promise<{ broker: string[]; generator: string[] }> {
  const able =
    availableParallelism() > 1 &&
    (await runProgram('taskset', ['-c', '1', 'true']).then(
      (result) => result.code === 0,
      () => false,
    ))
  return able
    ? { broker: ['taskset', '-c', '0'], generator: ['taskset', '-c', '1'] }
    : { broker: [], generator: [] }
}

async function measure(
  broker: BenchBroker,
  scenario: Scenario,
  { warmUpSeconds, seconds }: Settings,
  pins: { broker: string[]; generator: string[] },
): Promise<Measured> {
  const { port, program } = await broker.start(pins.broker)
  try {
    const job: GeneratorJob = { port, scenario, warmUpSeconds, seconds }
    const generator = `${import.meta.dirname}/generator.ts`
    const [command, ...args] = [...pins.generator, process.execPath, generator, JSON.stringify(job)]
    const timeoutMs = (warmUpSeconds + seconds + 30) * 1000
    const result = await runProgram(command as string, args, { timeoutMs })
    if (result.code !== 0) {
      throw new Error(`${broker.name}, ${scenario.title}: ${result.stderr}\n${program.stderr}`)
    }
    return JSON.parse(result.stdout.toString()) as Measured
  } finally {
    await program.stop('SIGKILL')
  }
}

const settings = readSettings()
const pins = await pinning()
const results = new Map<string, Measured[]>()
for (let round = 1; round <= settings.rounds; round++) {
  for (const scenario of settings.scenarios) {
    for (const broker of settings.brokers) {
      const measured = await measure(broker, scenario, settings, pins)
      const key = `${scenario.key} ${broker.name}`
      results.set(key, [...(results.get(key) ?? []), measured])
      const figures = `${Math.round(measured.rate)} msg/s, p99 ${measured.p99Ms.toFixed(2)} ms`
      console.error(`round ${round}/${settings.rounds}  ${scenario.title}  ${broker.name}: ${figures}`)
    }
  }
}

const machine =
  `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Node ${process.versions.node}, ` +
  (pins.broker.length > 0 ? 'broker on core 0, generator on core 1' : 'not pinned')
const report = formatReport({ ...settings, brokers: settings.brokers.map((b) => b.name), results, machine })
console.log(report)
if (settings.out !== undefined) writeFileSync(settings.out, report)
