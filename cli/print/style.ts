import { styleText } from 'node:util'

/** Marks text by its meaning; without colours every function gives its argument back. */
export interface Style {
  title(text: string): string
  name(text: string): string
  dim(text: string): string
  good(text: string): string
  warning(text: string): string
  error(text: string): string
}

type Format = Parameters<typeof styleText>[0]

export function makeStyle(hasColours: boolean): Style {
  const as = (format: Format) => (text: string) =>
    hasColours ? styleText(format, text, { validateStream: false }) : text
  return {
    title: as(['bold', 'underline']),
    name: as('bold'),
    dim: as('dim'),
    good: as('green'),
    warning: as('yellow'),
    error: as('red'),
  }
}

/** Colours for people at a terminal who did not ask for none (no-color.org). */
export const wantsColours = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean =>
  stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
