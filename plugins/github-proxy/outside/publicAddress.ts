/**
 * Which addresses are the internet's. Whatever a name resolves to, the proxy dials nothing that only this machine or its
 * network can reach: metadata services, routers, loopback.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net"

/** Not globally reachable. Source: IANA's special-purpose address registry for IPv4, with multicast and class E. */
const specialV4: ReadonlyArray<readonly [network: string, prefix: number]> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
]

/** Of the only range that is given out (2000::/3), what is special: with addresses of version 4 inside, too. */
const specialV6: ReadonlyArray<readonly [network: string, prefix: number]> = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["2620:4f:8000::", 48],
  ["3fff::", 20]
]

/** A company's network, and nothing of this machine's own. Source: RFC 1918, RFC 6598 and RFC 4193. */
const network = new BlockList()
network.addSubnet("10.0.0.0", 8, "ipv4")
network.addSubnet("100.64.0.0", 10, "ipv4")
network.addSubnet("172.16.0.0", 12, "ipv4")
network.addSubnet("192.168.0.0", 16, "ipv4")
network.addSubnet("fc00::", 7, "ipv6")

/** Metadata services that answer in the middle of those ranges. Source: Amazon's EC2 guide, "IMDS"; Alibaba's ECS guide. */
const metadata = new BlockList()
metadata.addAddress("fd00:ec2::254", "ipv6")
metadata.addAddress("100.100.100.200", "ipv4")

const special = new BlockList()
for (const [subnet, prefix] of specialV4) special.addSubnet(subnet, prefix, "ipv4")
for (const [subnet, prefix] of specialV6) special.addSubnet(subnet, prefix, "ipv6")

const given = new BlockList()
given.addSubnet("2000::", 3, "ipv6")

/** False for what is no address at all, and for every spelling that holds a scope or an address of version 4. */
export const isPublicAddress = (address: string): boolean => {
  if (isIPv4(address)) return !special.check(address, "ipv4")
  return isIPv6(address) && !address.includes("%") && given.check(address, "ipv6") && !special.check(address, "ipv6")
}

/** An address of a private network: never loopback, link-local, or one that a metadata service answers at. */
export const isNetworkAddress = (address: string): boolean => {
  if (isIPv4(address)) return network.check(address, "ipv4") && !metadata.check(address, "ipv4")
  return isIPv6(address) && !address.includes("%") && network.check(address, "ipv6") && !metadata.check(address, "ipv6")
}
