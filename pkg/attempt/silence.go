// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"

	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// ofSilence tells why nothing came after the latest request, all of which went well as far as known.
func (b *boot) ofSilence(t *Tracker) *Finding {
	f := b.atStage(t)
	if f == nil {
		return nil
	}
	if b.restartedIn > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("the machine began anew %v later", short(b.restartedIn)))
	} else {
		f.Evidence = append(f.Evidence, "nothing was heard since")
	}
	return f
}

func (b *boot) atStage(t *Tracker) *Finding {
	missing := b.missing
	if missing == "" && !b.granted { // whatever its name is, firmware asked for it first, and went no further
		missing = b.absent
	}
	if missing != "" {
		return &Finding{
			ID:       CauseLoaderMissing,
			Message:  fmt.Sprintf("There is no file %q, which the machine asked for to go on.", base(missing)),
			Evidence: []string{missing + " was refused: no such file"},
		}
	}
	if b.trouble.outcome != "" {
		return nil // something went wrong, and it is not known what: then silence tells nothing
	}
	switch b.a.Stage {
	case StageLoader:
		return b.afterLoader(t)
	case StageConfig:
		if b.elsewhere || b.a.Action == "" {
			return nil
		}
		return b.afterConfig()
	case StageKernel, StageInitrd:
		return b.afterKernel(t)
	case StageRunning:
		if b.a.CompleteOn == CompleteOnCallback && !b.elsewhere {
			f := &Finding{
				ID:       CauseNeverCompleted,
				Message:  "The installer ran, and the machine booted again without having said that it was done.",
				Evidence: []string{fmt.Sprintf("it fetched %s for the installer", texts(b.texts))},
			}
			if b.restartedIn == 0 {
				f.Message = fmt.Sprintf("The installer ran, and has not said for %v that it is done.", sameInstallGap)
			}
			return f
		}
	}
	return nil
}

func texts(n int) string {
	if n == 1 {
		return "1 text"
	}
	return fmt.Sprintf("%d texts", n)
}

// afterLoader tells why a boot program that was delivered asks for nothing.
func (b *boot) afterLoader(t *Tracker) *Finding {
	p := &b.program
	if b.chained > 0 {
		return b.chainLoad()
	}
	if b.ran || p.name == "" {
		// iPXE has the script that sends it to HTTP, and never came.
		if b.bootstrap == render.TFTP && !b.http && b.a.Loader == "iPXE" && !b.unknownAny {
			return &Finding{
				ID:       CauseConfigNeverAsked,
				Message:  "iPXE got by TFTP the script that sends it to HTTP, and never came there.",
				Evidence: []string{"the script was delivered by TFTP", "no request came by HTTP"},
			}
		}
		return nil
	}
	whole := fmt.Sprintf("%s was delivered whole (%s)", p.name, bytesOf(p.bytes))
	if p.Firmware != "" && b.a.Firmware != "" && (p.Firmware == FirmwareBIOS) != (b.a.Firmware == FirmwareBIOS) {
		return &Finding{
			ID:       CauseWrongFirmware,
			Message:  fmt.Sprintf("%s is a program for %s, and the machine boots by %s.", base(p.name), p.Firmware, b.a.Firmware),
			Evidence: []string{whole, fmt.Sprintf("the machine's firmware is %s", b.a.Firmware)},
		}
	}
	arch := b.machineArch(t)
	if p.Firmware == FirmwareUEFI && p.Architecture != "" && arch != "" && p.Architecture != arch {
		return &Finding{
			ID:       CauseWrongArchitecture,
			Message:  fmt.Sprintf("%s is a program for %s, and the machine is %s.", base(p.name), p.Architecture, arch),
			Evidence: []string{whole, fmt.Sprintf("it is made for %s", p.Architecture), fmt.Sprintf("the machine is %s", arch)},
		}
	}
	if p.toIPXE && isIPXE(p.name) && b.restartedIn > 0 {
		return &Finding{
			ID: CauseUnknown,
			Message: base(p.name) + " was delivered to an iPXE, and an iPXE asked for a boot program again. Either it does not start, or it does " +
				"and DHCP tells it to load itself.",
			Evidence: []string{whole, "iPXE asked for it, as the firmware or as what was loaded before"},
		}
	}
	f := &Finding{ID: CauseLoaderSilent, Evidence: []string{whole}}
	f.Message = base(p.name) + " was delivered whole, and nothing was heard since: it does not start."
	switch {
	case p.Signature == Unsigned && p.Architecture != "" && p.Architecture == arch:
		f.Message += " It has no signature, so Secure Boot would refuse it; or the machine was switched off, or the program finds no network."
		f.Evidence = append(f.Evidence, "the file has no signature")
	case p.Signature == Unsigned:
		f.Message += " It has no signature, so Secure Boot would refuse it; or it is for another architecture."
		f.Evidence = append(f.Evidence, "the file has no signature")
	case p.Firmware == FirmwareUEFI:
		f.Message += " Either it is for another architecture, or Secure Boot refuses it."
	}
	if p.Architecture != "" {
		f.Evidence = append(f.Evidence, fmt.Sprintf("it is made for %s; the machine's architecture is not known to differ", p.Architecture))
	}
	return f
}

// chainLoad tells that iPXE loads itself, over and over.
func (b *boot) chainLoad() *Finding {
	name := base(b.program.name)
	return &Finding{
		ID:      CauseChainLoad,
		Message: fmt.Sprintf("iPXE runs and loads itself again: DHCP names %s to it, too, instead of a script.", name),
		Evidence: []string{
			fmt.Sprintf("%s was delivered whole (%s) to a firmware that is not iPXE", name, bytesOf(b.program.bytes)),
			fmt.Sprintf("iPXE then asked for %s %s, and for no script", name, times(b.chained)),
		},
	}
}

func (b *boot) afterConfig() *Finding {
	if b.files {
		return nil // it boots by files of the profile, as wimboot does
	}
	f := &Finding{
		ID:       CauseKernelNeverAsked,
		Message:  "The loader got the machine's configuration and never asked for the kernel.",
		Evidence: []string{fmt.Sprintf("the configuration was delivered by %s", b.config)},
	}
	if b.config == render.TFTP && !b.http {
		f.Evidence = append(f.Evidence, "no request came by HTTP in this boot")
	}
	return f
}

func (b *boot) afterKernel(t *Tracker) *Finding {
	if b.loaded() {
		return b.afterPayload(t)
	}
	if b.elsewhere || len(b.parts) == 0 {
		return nil
	}
	var whole, never *part
	for i := range b.parts {
		switch p := &b.parts[i]; {
		case p.whole:
			whole = p
		case p.asked:
			return nil // how that one ended tells more, or nothing does
		case p.Role != RoleDeviceTree:
			never = p
		}
	}
	if whole == nil || never == nil {
		return nil
	}
	return &Finding{
		ID: CausePayloadIncomplete,
		Message: fmt.Sprintf("The loader fetched the %s %s whole and never asked for the %s %s.",
			whole.Role, whole.Name, never.Role, never.Name),
		Evidence: []string{
			fmt.Sprintf("the %s was delivered whole (%s)", whole.Role, bytesOf(whole.size)),
			fmt.Sprintf("the %s was never asked for", never.Role),
		},
	}
}

func (b *boot) afterPayload(t *Tracker) *Finding {
	if b.elsewhere || b.a.CompleteOn == CompleteOnPayloadServed {
		return nil
	}
	var size int64
	for _, p := range b.parts {
		size += p.size
	}
	f := &Finding{Evidence: []string{fmt.Sprintf("kernel and initrds were delivered whole (%s)", bytesOf(size))}}
	if m := t.o.Index.Machine(b.owner.machine); m != nil && len(m.Configs) > 0 {
		f.ID, f.Message = CauseConfigNeverFetched, "The machine has its kernel and initrds, and its installer never asked for its configuration."
		f.Evidence = append(f.Evidence, "none of its configs was asked for")
		return f
	}
	if b.restartedIn > 0 {
		f.ID, f.Message = CauseNeverCompleted, "The machine got its kernel and initrds, and booted again without having said that it was done."
	} else {
		f.ID, f.Message = CauseConfigNeverFetched, "The machine has its kernel and initrds, and was never heard of since."
	}
	f.Evidence = append(f.Evidence, "no callback came")
	return f
}
