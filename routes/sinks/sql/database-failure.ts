/**
 * What a database error means for a message. Its text is shown only where it is about the query and the
 * database; an error about a value may quote that value, and a payload has no place in a status.
 */
import { permanent, type SinkFailure, transient, unavailable } from '../sink.ts'

export interface DatabaseFault {
  /** What was tried. */
  step: 'Connect' | 'Prepare' | 'Execute'
  /** Five characters: SQLSTATE. */
  sqlState: string
  /** The number that MySQL has for it. */
  number?: number
  /** The server's own text. */
  text: string
  /** Names of what was violated: constraint, column, table. */
  names?: readonly (string | undefined)[]
  /** Comes from inside a function or trigger, whose text may quote anything. */
  isNested?: boolean
}

const STEPS = {
  Connect: { code: 'DATABASE_CONNECT_FAILED', text: 'failed to connect to the database' },
  Prepare: { code: 'DATABASE_PREPARE_FAILED', text: 'failed to prepare the query' },
  Execute: { code: 'DATABASE_EXECUTE_FAILED', text: 'failed to execute the query' },
} as const

type Meaning = 'Wait' | 'Again' | 'Never'

/** By the class of the SQLSTATE, its first two characters. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  // Connection, authorization, unknown database, syntax or missing table or right, no resources, shut down.
  '08': 'Wait',
  '28': 'Wait',
  '3D': 'Wait',
  '3F': 'Wait',
  '42': 'Wait',
  '53': 'Wait',
  '57': 'Wait',
  // Bad value, violated constraint, error raised by the query itself, wrong number of rows.
  '21': 'Never',
  '22': 'Never',
  '23': 'Never',
  '44': 'Never',
  '45': 'Never',
  P0: 'Never',
}

/** MySQL says HY000 (or worse, 42000) for much of this. */
const MYSQL_MEANINGS: Readonly<Record<number, Meaning>> = {
  1040: 'Wait',
  1053: 'Wait',
  1203: 'Wait',
  1226: 'Wait',
  1290: 'Wait',
  1836: 'Wait',
  1021: 'Wait',
  1205: 'Again',
  1213: 'Again',
  1153: 'Never',
  1264: 'Never',
  1265: 'Never',
  1292: 'Never',
  1300: 'Never',
  1364: 'Never',
  1366: 'Never',
  1406: 'Never',
  1644: 'Never',
  3140: 'Never',
  3819: 'Never',
  4025: 'Never',
}

export function databaseFailure(fault: DatabaseFault): SinkFailure {
  const step = STEPS[fault.step]
  const meaning = meaningOf(fault)
  const number = fault.number === undefined ? '' : ` (${fault.number})`
  const details = {
    code: step.code,
    message: `${step.text}: ${fault.sqlState}${number} ${describe(fault, meaning)}`,
  }
  if (meaning === 'Wait') return unavailable(details)
  return meaning === 'Never' ? permanent(details) : transient(details)
}

function meaningOf({ step, sqlState, number }: DatabaseFault): Meaning {
  if (step === 'Connect') return 'Wait'
  const known = number === undefined ? undefined : MYSQL_MEANINGS[number]
  // A transaction read-only because the server is a standby (25006) ends with a failover.
  if (sqlState === '25006') return 'Wait'
  // A query that took too long and was cancelled (57014) may be faster next time.
  if (sqlState === '57014') return 'Again'
  return known ?? MEANINGS[sqlState.slice(0, 2)] ?? (step === 'Prepare' ? 'Wait' : 'Again')
}

function describe({ text, names = [], isNested = false }: DatabaseFault, meaning: Meaning): string {
  if (meaning === 'Wait' && !isNested) return text
  const known = names.filter((name) => name !== undefined && name !== '')
  return known.length === 0 ? 'the message was refused' : `the message was refused by ${known.join(', ')}`
}
