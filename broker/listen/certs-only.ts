/**
 * Certificates as a PKCS #7 SignedData without a signature (RFC 5272 §4.1, "certs-only"), base64 in lines as EST
 * sends it. The library is loaded with the first request: most brokers never need it.
 */
export async function certsOnly(certificates: readonly string[]): Promise<string> {
  // Its dependency injection wants the polyfill first.
  await import('reflect-metadata')
  const { X509Certificates, X509Certificate } = await import('@peculiar/x509')
  const set = new X509Certificates(certificates.map((pem) => new X509Certificate(pem)))
  const base64 = Buffer.from(set.export('raw')).toString('base64')
  return `${base64.match(/.{1,76}/g)?.join('\r\n') ?? ''}\r\n`
}
