// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// An Event is what became known of one request. A request that takes time has two, the first when its answer begins, the
// second, with Ended, when that is over; both carry all that is known of the request. One that is answered at once, such as
// a refusal, has the second only.
type Event struct {
	Time  time.Time // when it happened
	ID    uint64    // of the request, unique in the process
	Ended bool

	// What was asked.
	Client netip.AddrPort
	Over   render.Transport
	Kind   Kind
	Name   string // for people: without a token, at most 128 bytes
	// UserAgent is what an HTTP client calls itself; empty: nothing, or TFTP. At most 64 bytes.
	UserAgent string
	// ByIPXE: it is asked as iPXE asks, by its User-Agent, or by TFTP with exactly its options.
	ByIPXE bool

	// Who asks, as far as it is known.
	Machine index.Key // told by the request, and known to the index; empty: neither
	MAC     index.MAC // told by the request; zero: not told

	// What it tells, or gets.
	Format       render.Format // KindBootstrap, KindConfig
	Architecture index.Arch    // as far as the request tells
	Firmware     Firmware      // as far as the request tells
	Action       index.Action  // KindConfig: what the machine was told to do; empty: it was refused. KindFile: Netboot, of a Machine's profile
	BootID       string        // KindConfig, KindText, KindCallback...: of the Machine
	Once         bool          // where Action is Netboot: the boot counts towards the policy Once
	CompleteOn   CompleteOn    // where Action is Netboot
	Payload      []Part        // KindConfig with Netboot: what the loader will fetch
	Held         bool          // KindConfig with BootLocal, KindFile refused for RefusedLocal: because too many boots were not completed
	Artifact     index.ID      // KindArtifact
	Program      Program       // KindLoader, KindFile: what the file tells of itself
	Size         int64         // of the answer in bytes; -1: not known
	Offset       int64         // HTTP: where in the file the answer begins
	FileSize     int64         // of the file that the answer is a part of; 0: as Size
	Message      string        // KindFailed, KindLog: what the machine says, cleaned, at most 1024 bytes

	// How it ended; meaningless before.
	Outcome     Outcome
	Refusal     RefusalKind   // OutcomeRefused
	Reason      string        // OutcomeRefused, OutcomeClientError: in words, as sent or received, cleaned
	Bytes       int64         // that the client has acknowledged, or that the kernel took over for it (HTTP)
	Took        time.Duration // from the request
	Repeats     int64         // TFTP: how often the client repeated the request
	Retransmits int64         // TFTP
	Duplicates  int64         // TFTP: acknowledgements that acknowledged nothing new: the client is there, and waits
	BlockSize   int           // TFTP, as agreed; 0: no transfer began
	WindowSize  int           // TFTP, as agreed; 0: no transfer began
	RoundTrip   time.Duration // TFTP: smoothed; 0: never measured
}

// Kind is what a request asks for.
type Kind string

// The kinds.
const (
	KindLoader    Kind = "loader"    // a network boot program, or a part of one, of --loaders-dir
	KindBootstrap Kind = "bootstrap" // a boot configuration by a name that tells no identity
	KindConfig    Kind = "config"    // a boot configuration by an identity
	KindArtifact  Kind = "artifact"  // by its id: a kernel, an initrd
	KindFile      Kind = "file"      // a profile's file by its path: a loader of the profile, an overlay
	KindText      Kind = "text"      // a text for the installer, or a file of its seed
	KindComplete  Kind = "complete"  // callback: the boot is completed
	KindFailed    Kind = "failed"    // callback: the boot has failed
	KindLog       Kind = "log"       // callback: a line for the log
	KindOther     Kind = "other"     // a name that could not exist, or of nobody
)

// A Part is one of the files that a boot configuration names.
type Part struct {
	Role PartRole
	ID   index.ID
	Name string // of the file
}

// PartRole is what a Part is for.
type PartRole string

// The roles.
const (
	RoleKernel     PartRole = "kernel" // or a unified kernel image
	RoleInitrd     PartRole = "initrd"
	RoleDeviceTree PartRole = "device tree"
)

// Firmware is how a machine starts to boot from the network.
type Firmware string

// The firmwares.
const (
	FirmwareBIOS     Firmware = "BIOS"
	FirmwareUEFI     Firmware = "UEFI"
	FirmwareUEFIHTTP Firmware = "UEFI HTTP"
)

// CompleteOn is what completes a boot.
type CompleteOn string

// The values of CompleteOn; the API's names.
const (
	CompleteOnCallback      CompleteOn = "Callback"
	CompleteOnPayloadServed CompleteOn = "PayloadServed"
)

// Outcome is how a request ended.
type Outcome string

// The outcomes.
const (
	OutcomeServed            Outcome = "served"             // whole, as far as can be known
	OutcomeProbe             Outcome = "probe"              // TFTP: the client only wanted to know the size; HTTP: HEAD
	OutcomePart              Outcome = "part"               // HTTP: the range that was asked for
	OutcomeCut               Outcome = "cut"                // the client ended it on its own accord: an ERROR, a closed connection
	OutcomeSilent            Outcome = "silent"             // it took something, and then no more, and did not say that it ends
	OutcomeNeverAcknowledged Outcome = "never acknowledged" // TFTP: it acknowledged nothing
	OutcomeReplaced          Outcome = "replaced"           // TFTP: it asked for something else from the same port
	OutcomeRefused           Outcome = "refused"            // Event.Refusal says why
	OutcomeStopped           Outcome = "stopped"            // by the end of the server
	OutcomeBroken            Outcome = "broken"             // our fault
)

// RefusalKind is why a request was refused.
type RefusalKind string

// The kinds of refusals.
const (
	RefusedNoFile         RefusalKind = "no file"         // no such name
	RefusedUnknownMachine RefusalKind = "unknown machine" // no Machine has this identity
	RefusedProfile        RefusalKind = "profile"         // the Machine's profile is missing or not accepted
	RefusedArchitecture   RefusalKind = "architecture"    // the profile has nothing for the machine's architecture
	RefusedRender         RefusalKind = "render"          // what the Machine or profile says does not render
	RefusedLocal          RefusalKind = "local"           // on purpose: it boots from its own disk
	RefusedUpstream       RefusalKind = "upstream"        // the artifact can't be fetched
	RefusedDigest         RefusalKind = "digest"          // what the upstream has is not what sha256 says
	RefusedStorage        RefusalKind = "storage"         // the cache can't be written or read
	RefusedTokenMissing   RefusalKind = "token missing"   //
	RefusedTokenWrong     RefusalKind = "token wrong"     // of another machine, bootID or config; or damaged
	RefusedTokenExpired   RefusalKind = "token expired"   //
	RefusedNotYet         RefusalKind = "not yet"         // we can't answer yet, and shall
	RefusedMethod         RefusalKind = "method"          // HTTP: neither GET nor HEAD
	RefusedOther          RefusalKind = "other"
)
