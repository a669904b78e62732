package outgoing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

// ErrDenied: the address is one that no message may go to.
var ErrDenied = errors.New("an address that no message may go to")

// DialFunc makes a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// DefaultDeny are the networks that messages go to only if the configuration says
// so: the machine itself under no name, its neighbours' automatic addresses, where
// clouds keep the credentials of a machine, and groups of machines.
func DefaultDeny() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "::/128", // unspecified: RFC 1122, RFC 4291
		"169.254.0.0/16", "fe80::/10", // link-local, and metadata of most clouds: RFC 3927, RFC 4291
		"100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128", // other metadata services
		"224.0.0.0/4", "ff00::/8", "255.255.255.255/32", // multicast and broadcast
	} {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Guard dials everywhere but to the given networks. It looks at the address that
// is connected to, so that no name and no spelling of an address gets around it.
func Guard(deny []netip.Prefix) DialFunc {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %s", ErrDenied, address)
			}
			ip := to.Addr().Unmap().WithZone("")
			if inner, ok := embedded(ip); ok && denied(deny, inner) || denied(deny, ip) {
				return fmt.Errorf("%w: %s", ErrDenied, to.Addr())
			}
			return nil
		}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if notify.CaptureOf(ctx) != nil {
			return nil, notify.ErrCaptured // whatever the sender thinks, nothing is to be sent
		}
		return d.DialContext(ctx, network, address)
	}
}

func denied(deny []netip.Prefix, ip netip.Addr) bool {
	for _, p := range deny {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo4  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	oldForm = netip.MustParsePrefix("::/96")        // IPv4-compatible, RFC 4291 section 2.5.5.1
)

// embedded is the IPv4 address that translators on the way make of an IPv6 one.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case !ip.Is6():
		return netip.Addr{}, false
	case nat64.Contains(ip), oldForm.Contains(ip) && ip != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo4.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
