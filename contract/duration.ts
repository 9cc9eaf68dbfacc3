const UNITS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const

const DURATION = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?$/

/** `1h30m`, `168h`, `500ms` → milliseconds; undefined: not of that form (`DURATION_PATTERN` of the CRDs). */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text)
  if (match === null || text === '') return undefined
  const [hours, minutes, seconds, milliseconds] = match.slice(1).map((part) => Number(part ?? 0))
  return (
    (hours ?? 0) * UNITS.h +
    (minutes ?? 0) * UNITS.m +
    (seconds ?? 0) * UNITS.s +
    (milliseconds ?? 0) * UNITS.ms
  )
}
