#!/usr/bin/env node
/** The command line's edge: the only file that reads the process and the only one that may end it. */
import { readFileSync } from 'node:fs'
import { createBroker } from '../broker/create-broker.ts'
import { runProgram } from './program.ts'

/** Ended by a signal, in the way of shells: 128 + SIGINT. */
const FORCED = 130
/** What is still open after a clean stop must not keep the terminal. */
const LAST_WORDS_MS = 2_000

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(FORCED)
    stop.abort()
  })
}
// `hublet … | head` closes our output; the hubs are not concerned.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}
process.exitCode = await runProgram(process.argv.slice(2), {
  version,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  startBroker: createBroker,
  signal: stop.signal,
})
setTimeout(() => process.exit(), LAST_WORDS_MS).unref()
