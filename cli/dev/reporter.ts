import type { Writable } from 'node:stream'
import type { Logger } from 'pino'
import { formatProblem, type Problem } from '../manifests/problem.ts'
import type { Style } from '../print/style.ts'

export interface ReporterOptions {
  /** Where pages for people go. */
  output: Writable
  /** Where problems go. */
  errors: Writable
  logger: Logger
  /** Problems are log lines then, as everything else that happens. */
  isJson: boolean
  style: Style
}

/** Tells people, or programs, what happens to their manifests. */
export class Reporter {
  readonly #options: ReporterOptions
  readonly logger: Logger

  constructor(options: ReporterOptions) {
    this.#options = options
    this.logger = options.logger
  }

  get style(): Style {
    return this.#options.style
  }

  page(lines: readonly string[]): void {
    this.#options.output.write(`${lines.join('\n')}\n`)
  }

  /** Each problem on a line that begins with its place, as editors and people look for it. */
  problems(problems: readonly Problem[], consequence: string): void {
    const { errors, isJson, style } = this.#options
    if (isJson) {
      for (const problem of problems) {
        const { file, line, error } = problem
        const { field, expected, got } = error
        this.logger.error({ file, line, field, expected, got }, formatProblem(problem))
      }
      this.logger.error({ problems: problems.length }, consequence)
      return
    }
    const shown = problems.slice(0, MAX_PROBLEMS_SHOWN).map(formatProblem)
    const more = problems.length - shown.length
    if (more > 0) shown.push(`and ${more} more`)
    errors.write(`${[...shown, style.error(consequence)].join('\n')}\n`)
  }
}

/** One wrong indentation can spoil every line of a long file. */
const MAX_PROBLEMS_SHOWN = 50
