// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// ipxe writes iPXE scripts. A script ends at the first command that fails, and the firmware goes on.
// Sources: ipxe.org/cmd; iPXE src/core/exec.c, src/core/settings.c, src/image/script.c.
type ipxe struct{}

func (ipxe) template(t index.Templates) string { return t.IPXE }

func (ipxe) payload(path string, by index.Payload, r Request) (string, error) {
	switch {
	case by != index.PayloadTFTP && r.ServerURL != "":
		return r.ServerURL + path, nil
	case r.TFTPServer != "":
		return "tftp://" + r.TFTPServer + path, nil
	case by == index.PayloadTFTP:
		return "", errTFTPOff()
	}
	return "", errors.New("HTTP and TFTP are off: set --http-bind-address or --tftp-bind-address")
}

// word returns arg as it is: iPXE has no quotes. It splits a line at whitespace, expands ${ in each word as often as it
// finds one, and hands the words, joined by one space each, to the kernel.
func (ipxe) word(arg string, _ *index.Platform) (string, error) {
	switch {
	case strings.Contains(arg, "${"):
		return "", errors.New("iPXE expands ${ and has no way to write it; write the value itself")
	case strings.HasSuffix(arg, `\`):
		return "", errors.New(`iPXE takes a \ at the end for a line that goes on; write it without`)
	}
	for word := range strings.SplitSeq(arg, " ") {
		switch {
		case word == "" && arg != "":
			return "", errors.New("iPXE makes one of several spaces; write one")
		case word == ";", word == "&&", word == "||":
			return "", fmt.Errorf("iPXE takes the word %s for the end of the command; join it to another word", word)
		case strings.HasPrefix(word, "#"):
			return "", errors.New("iPXE takes a word that starts with # for a comment; put another character first")
		}
	}
	return arg, nil
}

func (ipxe) netboot(b boot) (string, error) {
	var kernel, initrds strings.Builder
	kernel.WriteString("kernel --name kernel " + cmp.Or(b.UKI, b.Kernel))
	for i, url := range b.Initrds {
		name := "initrd" + strconv.Itoa(i)
		fmt.Fprintf(&initrds, "initrd --name %s %s\n", name, url)
		// An EFI kernel loads what it is told by name; a BIOS one is handed all of them.
		kernel.WriteString(" initrd=" + name)
	}
	text := kernel.String() + space(b.KernelArgs) + "\n" + initrds.String()
	if b.DeviceTree != "" {
		text += "fdt " + b.DeviceTree + " ||\n" // an older iPXE has no such command
	}
	return text + "boot\n", nil
}

func (ipxe) local(how index.LocalBoot) string {
	switch how {
	case index.LocalSanBoot, index.LocalChainloadESP:
		return `iseq ${platform} efi || goto bios
iseq ${buildarch} arm64 && set loader BOOTAA64.EFI || set loader BOOTX64.EFI
sanboot --no-describe --drive 0 --filename \EFI\BOOT\${loader} || exit
:bios
sanboot --no-describe --drive 0x80 || exit
`
	}
	return "exit\n"
}

// refused ends a bootstrap: the script that was chained to ends otherwise, and does not come back here.
const refused = `exit
:refused
echo No configuration for ${netX/mac}, or it was refused: see the error above. Booting the disk.
sleep 5
exit
`

// bootstrap chains to the script of whoever asks, over HTTP by all that iPXE knows about itself, over TFTP by a name with
// its address. netX is the interface that was used last.
func (s ipxe) bootstrap(r Request) string {
	switch {
	case r.ServerURL != "":
		return "chain --autofree " + r.ServerURL + "/ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring}" +
			"&asset=${asset:uristring}&arch=${buildarch}&platform=${platform} || goto refused\n" + refused
	case r.TFTPServer != "":
		return "chain --autofree tftp://" + r.TFTPServer + "/MAC-${netX/mac:hexhyp}.ipxe || goto refused\n" + refused
	}
	return s.local(index.LocalExit)
}
