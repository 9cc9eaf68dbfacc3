import { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'

/** An answer to a PUT is empty, and an error some hundred bytes of XML. */
const MAX_ANSWER_BYTES = 64 * 1024

/** The SDK reads whole answers, however long they are; from now on they end early. */
export function boundAnswers(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { response } = result as { response: { body?: unknown } }
      if (response.body instanceof Readable) response.body = firstBytes(response.body)
      return result
    },
    // Next to the connection: before the SDK reads.
    { step: 'deserialize', priority: 'low', name: 'boundAnswers' },
  )
}

function firstBytes(body: Readable): Readable {
  async function* read() {
    let length = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      yield chunk
      length += chunk.length
      // Leaving the loop closes the connection.
      if (length > MAX_ANSWER_BYTES) return
    }
  }
  return Readable.from(read(), { objectMode: false })
}
