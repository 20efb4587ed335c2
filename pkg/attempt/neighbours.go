// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"bufio"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// neighboursFile is the kernel's table of IPv4 neighbours, of the network namespace that asks (proc_pid_net(5)).
	neighboursFile = "/proc/net/arp"
	// neighboursPause is for how long one who is not in the table does not make it be read again: machines ask in the moment
	// in which they come into it, and tables may be long.
	neighboursPause = 20 * time.Millisecond
	// neighboursLife is for how long an entry is believed without another look.
	neighboursLife = time.Second
	// arpComplete is ATF_COM of Linux's if_arp.h: the entry has an address. arpEthernet is ARPHRD_ETHER.
	arpComplete, arpEthernet = 0x2, 0x1
)

// Neighbours know the MAC addresses of clients on the same network, as the kernel does that answers them. There are none of
// clients beyond a router, and none of IPv6. The zero value is ready; it is safe for concurrent use.
type Neighbours struct {
	file string // empty: neighboursFile

	mu   sync.Mutex
	read time.Time
	macs map[netip.Addr]index.MAC
}

// MAC returns that of a client's address, or zero.
func (n *Neighbours) MAC(client netip.Addr) index.MAC {
	client = client.Unmap()
	if !client.Is4() {
		return index.MAC{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	mac, known := n.macs[client]
	if age := time.Since(n.read); age > neighboursLife || !known && age > neighboursPause {
		n.load()
		mac = n.macs[client]
	}
	return mac
}

// load reads the table. What can't be read is not known.
func (n *Neighbours) load() {
	name := n.file
	if name == "" {
		name = neighboursFile
	}
	n.read, n.macs = time.Now(), map[netip.Addr]index.MAC{}
	file, err := os.Open(name)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// IP address, HW type, Flags, HW address, Mask, Device
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		kind, kindErr := strconv.ParseUint(fields[1], 0, 16)
		flags, flagsErr := strconv.ParseUint(fields[2], 0, 16)
		mac, macErr := index.ParseMAC(fields[3])
		if err == nil && kindErr == nil && flagsErr == nil && macErr == nil && kind == arpEthernet && flags&arpComplete != 0 {
			n.macs[addr] = mac
		}
	}
}
