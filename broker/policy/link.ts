/** The listeners of a hub (design §8.17). */
export type ListenerName = 'mqtt' | 'mqtts' | 'ws' | 'wss' | 'http' | 'https'

/** What the TLS layer saw of the client. Facts only: no decision is in here. */
export interface PeerCertificate {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
  /** Subject CN; empty when there is none. */
  commonName: string
  /** ms since the epoch. */
  notBefore: number
  notAfter: number
  /** Of the CA of the hub that has signed it itself; absent: none has. */
  issued?: {
    /** SHA-256 of the CA's certificate (DER), 64 lower-case hex digits. */
    by: string
    /** Lower-case hex without leading zeros. */
    serial: string
  }
  /** OpenSSL's verdict on the chain against the hub's device CA (`socket.authorized`). */
  chainTrusted: boolean
  /** OpenSSL's reason when it is not, e.g. `CERT_HAS_EXPIRED`. */
  chainError?: string
}

/** One client link before anything is known about who it is. */
export interface LinkFacts {
  listener: ListenerName
  encrypted: boolean
  /** `ip:port` of the client. */
  remoteAddress: string
  peerCertificate?: PeerCertificate
}
