/** What is asked of a jail from inside, by a shell that has nothing but the system's own programs. */

/**
 * Runs a command with standard input, output and error and no other descriptor: Node closes its own, but whatever the
 * runtime was started with passes through it and through bubblewrap. `-p`: no variable of the environment names a file
 * to be read first.
 */
export const withThreeDescriptors = (command: ReadonlyArray<string>): ReadonlyArray<string> => [
  "/bin/bash",
  "-p",
  "-c",
  "for fd in /proc/self/fd/*; do fd=${fd##*/}; if ((fd > 2)); then eval \"exec $fd>&-\"; fi; done; exec \"$@\"",
  "km-jail",
  ...command
]

/**
 * Prints `ok` when the jail holds, or one line for each thing that is wrong. Every file of /proc and /sys that is not a
 * process's own is opened for writing and closed again: nothing is written, nothing is truncated. Files of a process are
 * the agent's own, but for its view of the network, which is the machine's while that is shared. With `none` as its first
 * argument there must be no interface, address or route but loopback's; the names are those of the kernel's own tunnels,
 * which are down in every new network (kernel's `sysctl/net.rst`, `fb_tunnels_only_for_init_net`). With `filtered` as its
 * second there must be a filter of system calls.
 */
export const probeScript = String.raw`
shopt -s nullglob globstar dotglob
wrong=0
say() { echo "$1"; wrong=1; }
while IFS=$': \t' read -r key value rest; do
  case $key in
    CapInh|CapPrm|CapEff|CapBnd|CapAmb) [[ $value =~ ^0*$ ]] || say "capabilities are left: $key $value" ;;
    NoNewPrivs) [[ $value == 1 ]] || say "new privileges can be had" ;;
    Seccomp) [[ $2 != filtered || $value == 2 ]] || say "system calls are not filtered" ;;
  esac
done < /proc/self/status
for fd in /proc/self/fd/*; do
  # The one that lists them is among the names, and gone when it is looked at.
  [[ $fd == */[012] || ! -e $fd ]] || say "open: $fd"
done
try() {
  [[ ! -L $1 && ( -f $1 || -b $1 || -c $1 ) ]] || return 0
  if { : >> "$1"; } 2> /dev/null; then say "can be written: $1"; fi
}
for top in /proc/[!0-9]* /sys /proc/self/net; do
  [[ -L $top ]] && continue
  try "$top"
  if [[ -d $top ]]; then for file in "$top"/**; do try "$file"; done; fi
done
# Of devices those that harm nobody: none else may be there.
for file in /dev/**; do
  case $file in /dev/null | /dev/zero | /dev/full | /dev/random | /dev/urandom | /dev/tty | /dev/pts/*) continue ;; esac
  try "$file"
done
if [[ $1 == none ]]; then
  while IFS=$': \t' read -r name rest; do
    case $name in
      Inter-* | face | lo) ;;
      tunl0 | gre0 | gretap0 | erspan0 | ip_vti0 | ip6_vti0 | sit0 | ip6tnl0 | ip6gre0) ;;
      *) say "there is a network: $name" ;;
    esac
  done < /proc/self/net/dev
  { read -r heading; while read -r name rest; do say "there is a route: $name"; done; } < /proc/self/net/route
  for file in /proc/self/net/if_inet6 /proc/self/net/ipv6_route; do
    [[ -e $file ]] || continue
    while read -r line; do [[ $line == *[[:space:]]lo ]] || say "there is an address or route: $line"; done < "$file"
  done
fi
[[ $wrong == 1 ]] || echo ok
`

/** The probe of a jail with this network, as a command. */
export const probeCommand = (network: "none" | "shared", filtered: boolean): ReadonlyArray<string> => [
  "/bin/bash",
  "-p",
  "-c",
  probeScript,
  "km-probe",
  network,
  filtered ? "filtered" : "whole"
]
