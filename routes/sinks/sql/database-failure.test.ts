import { describe, expect, it } from 'vitest'
import { databaseFailure } from './database-failure.ts'

describe('a failure of a database', () => {
  it.each([
    [
      'Connect',
      '28P01',
      'password authentication failed',
      'DATABASE_CONNECT_FAILED',
      'failed to connect to the database',
    ],
    [
      'Prepare',
      '42P01',
      'relation "x" does not exist',
      'DATABASE_PREPARE_FAILED',
      'failed to prepare the query',
    ],
    ['Execute', '57P01', 'terminating connection', 'DATABASE_EXECUTE_FAILED', 'failed to execute the query'],
  ] as const)(
    'at %s says so, with the code and the text of the server',
    (step, sqlState, text, code, words) => {
      expect(databaseFailure({ step, sqlState, text })).toEqual({
        ok: false,
        kind: 'Transient',
        scope: 'Sink',
        code,
        message: `${words}: ${sqlState} ${text}`,
      })
    },
  )

  it('has the number of MySQL too', () => {
    const fault = {
      step: 'Prepare',
      sqlState: '42S02',
      number: 1146,
      text: "Table 'iot.x' doesn't exist",
    } as const
    expect(databaseFailure(fault).message).toBe(
      "failed to prepare the query: 42S02 (1146) Table 'iot.x' doesn't exist",
    )
  })

  it('about a value quotes nothing of it, but what was violated', () => {
    const fault = { step: 'Execute', sqlState: '23505', text: 'Key (id)=(secret) already exists.' } as const
    expect(databaseFailure({ ...fault, names: ['messages_pkey', undefined, 'messages'] })).toMatchObject({
      kind: 'Permanent',
      message: 'failed to execute the query: 23505 the message was refused by messages_pkey, messages',
    })
    expect(databaseFailure(fault).message).toBe('failed to execute the query: 23505 the message was refused')
  })

  it('inside a function or trigger quotes nothing, whatever it is about', () => {
    const { message } = databaseFailure({
      step: 'Execute',
      sqlState: '42P01',
      text: 'secret',
      isNested: true,
    })
    expect(message).not.toContain('secret')
  })
})
