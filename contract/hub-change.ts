import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** One entry of a hub's change stream: what a broker has to read again. Lists hold device ids. */
export const HubChange = Type.Object({
  hub: Type.Boolean(),
  networks: Type.Boolean(),
  routes: Type.Boolean(),
  /** Added or edited devices. */
  devices: Type.Array(Type.String()),
  removed: Type.Array(Type.String()),
})
export type HubChange = Static<typeof HubChange>

/** An entry with its place. Its id in the stream is `<revision>-0`. */
export interface HubChangeEntry {
  revision: number
  /** The revision this change was made to: whoever knows another one has missed something. 0: none. */
  previous: number
  change: HubChange
}

const check = Compile(HubChange)

export function encodeHubChange({ hub, networks, routes, devices, removed }: HubChange): string {
  return JSON.stringify({ hub, networks, routes, devices, removed })
}

export const changeEntryId = (revision: number): string => `${revision}-0`

/** `fields` as Redis gives them: name, value, name, value. undefined: not one of ours, or damaged. */
export function decodeChangeEntry(id: string, fields: readonly string[]): HubChangeEntry | undefined {
  const revision = wholeNumber(/^(\d+)-0$/.exec(id)?.[1])
  const previous = wholeNumber(fieldOf(fields, 'previous'))
  const change = parse(fieldOf(fields, 'change'))
  if (revision === undefined || previous === undefined || !check.Check(change)) return undefined
  return { revision, previous, change }
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  const at = fields.findIndex((field, i) => i % 2 === 0 && field === name)
  return at < 0 ? undefined : fields[at + 1]
}

function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

function parse(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
