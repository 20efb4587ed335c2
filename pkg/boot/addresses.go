// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Addresses are where clients reach the servers. URLs in configurations are made from them.
type Addresses struct {
	// AdvertiseHost is put into URLs, a DNS name or an IP address without brackets. Empty: the address that the client
	// asked, which is right behind relays and on servers with several networks.
	AdvertiseHost string
	// HTTPPort and TFTPPort are the ports that clients reach; 0: the server is off.
	HTTPPort, TFTPPort uint16
	// HTTPS says that HTTPPort is that of HTTPS. Hand out http URLs where there are both: few loaders know TLS.
	HTTPS bool
}

// reHost accepts what may stand in a Host header: a DNS name, an IPv4 address, or an IPv6 address in brackets; and a
// port. Nothing in it has a meaning to a loader's parser.
var reHost = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// renderRequest says how the client reaches us.
func (h *Handler) renderRequest(r *Request) render.Request {
	req := render.Request{Over: r.Over, Token: h.sign}
	host := h.addresses.AdvertiseHost
	if host == "" && r.Local.IsValid() && !r.Local.IsUnspecified() {
		host = r.Local.Unmap().WithZone("").String() // a zone means something on this side only
	}
	if host != "" {
		if h.addresses.HTTPPort != 0 {
			scheme, standard := h.addresses.scheme()
			req.ServerURL = scheme + hostPort(host, h.addresses.HTTPPort, standard)
		}
		if h.addresses.TFTPPort != 0 {
			req.TFTPServer = hostPort(host, h.addresses.TFTPPort, 69)
		}
	}
	// The client that asks by HTTP knows best how it reaches us: there may be a NAT or a name in between.
	if h.addresses.AdvertiseHost == "" && r.Over == render.HTTP && reHost.MatchString(r.Host) {
		scheme := "http://"
		if r.TLS {
			scheme = "https://"
		}
		req.ServerURL = scheme + r.Host
	}
	return req
}

// scheme returns the beginning of URLs, and the port that needs no telling.
func (a Addresses) scheme() (string, uint16) {
	if a.HTTPS {
		return "https://", 443
	}
	return "http://", 80
}

// hostPort joins host and port, and leaves the scheme's own port out.
func hostPort(host string, port, standard uint16) string {
	if port != standard {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}
