export { parseDuration } from '../../contract/duration.ts'
