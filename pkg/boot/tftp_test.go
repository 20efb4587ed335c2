// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// What all machines get may be served from memory for a while; what one machine gets is looked up each time, so that its
// policy holds at once.
func TestWhatIsServedFromMemory(t *testing.T) {
	s := newLab(t)
	for name, tc := range map[string]struct {
		ask        string
		wantFresh  bool
		wantShared bool // one copy in memory for all
	}{
		"artifact":                {"/artifacts/sha256/" + digest(kernelText) + "/linux", true, true},
		"file of a profile":       {"/lab/debian/shimx64.efi", true, true},
		"loader":                  {"pxelinux.0", true, true},
		"file by a machine's MAC": {by(byFolder, armed) + "shimx64.efi", false, true},
		"configuration":           {by(byPXELINUX, armed), false, false},
		"configuration for all":   {"/grub/grub.cfg", false, false},
		"readiness probe":         {boot.ProbeName, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := s.handler.ServeTFTP(t.Context(), &tftp.Request{Name: tc.ask, Mode: tftp.Octet})
			if err != nil {
				t.Fatal(err)
			}
			if b.Closer != nil {
				t.Cleanup(func() { wantNil(t, b.Closer.Close()) })
			}
			if fresh, shared := b.FreshFor > 0, b.Identity != ""; fresh != tc.wantFresh || shared != tc.wantShared {
				t.Errorf("fresh for %v, identity %q, want fresh %v, shared %v", b.FreshFor, b.Identity, tc.wantFresh, tc.wantShared)
			}
		})
	}
}
