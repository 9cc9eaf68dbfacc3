import { readFileSync } from 'node:fs'
import type { ControlAnswer, ControlCall } from './control-calls.ts'
import type { ControlPlace } from './control-server.ts'

/** File of a data folder with the way to the running process; with a dot, as hubs have folders there. */
export const CONTROL_FILE = '.control'

/** Nobody to ask: the message says what to do. */
export class NoControl extends Error {
  override readonly name = 'NoControl'
}

/** Replaying all of a million letters takes minutes. */
const CALL_TIMEOUT_MS = 600_000

/** Asks the worker whose place is in `file`. Rejects with `NoControl` when there is none. */
export const callControl = async (file: string, call: ControlCall): Promise<ControlAnswer> =>
  (await askControl(file, call)) as ControlAnswer

/** The same for calls that are none about routes. */
export async function askControl(file: string, call: object): Promise<unknown> {
  const { port, token } = placeIn(file)
  let response: Response
  try {
    response = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(call),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    })
  } catch (error) {
    throw new NoControl(`nobody answers at the place that ${file} names: is hublet running?`, {
      cause: error,
    })
  }
  if (!response.ok) throw new Error(`the worker answered with ${response.status}`)
  return await response.json()
}

function placeIn(file: string): ControlPlace {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ControlPlace
  } catch (error) {
    throw new NoControl(`no hublet is running that wrote ${file}: start it, or name its folder with --data`, {
      cause: error,
    })
  }
}
