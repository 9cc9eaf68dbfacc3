/**
 * A serial number of a certificate as operator and brokers compare it: hex in lower case, without leading zeros. What
 * libraries print differs in both.
 */
export const plainSerial = (hex: string): string => hex.toLowerCase().replace(/^0+(?=.)/, '')
