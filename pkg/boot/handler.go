// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// Artifacts opens files by their content.
type Artifacts interface {
	// Open opens a, and fetches it first if need be; it may block until ctx ends. The error is an *artifact.Error when
	// the file can't be had.
	Open(ctx context.Context, a *index.Artifact) (*artifact.File, error)
	// OpenCached opens what an earlier Open fetched. It wraps fs.ErrNotExist when there is no such file.
	OpenCached(id index.ID) (*artifact.File, error)
}

// Strangers is told who asked for a boot configuration and is no Machine. Its method is called from many goroutines at once and
// must not block.
type Strangers interface {
	Unknown(id index.Identity, arch index.Arch)
}

// Options of a Handler.
type Options struct {
	Index     *index.Index // required
	Artifacts Artifacts    // required
	Loaders   *Loaders     // nil: no folder of loaders
	Addresses Addresses
	Tokens    Tokens      // nil: nobody gets a config of access Token
	Log       logr.Logger // zero: no log
	Instance  string      // what ProbeName holds: so a probe knows who answered
	Observer  Observer    // is told of requests; nil: nobody is
	Ledger    Ledger      // nil: what the index says is all that is known of boots
	Strangers Strangers   // is told of machines that are not known; nil: nobody is
	// Undelivered returns how many bytes of an answer to a request that was just written are still not with the client, for
	// which it may wait, and whether the client has closed the connection. Nil: what was written is taken for delivered.
	Undelivered func(*http.Request) (bytes int64, gone bool)
	// Sent returns what tells how many bytes of an answer were sent, while that goes on. Nil: nobody knows.
	Sent func(*http.Request) func() int64
	// DefaultProfile is what machines boot that are in no Machine. Empty: nothing.
	DefaultProfile index.Key
}

// Handler answers boot requests over TFTP and HTTP.
type Handler struct {
	index     *index.Index
	artifacts Artifacts
	loaders   *Loaders
	addresses Addresses
	tokens    Tokens
	log       logr.Logger
	hints     *hints
	instance  string
	observer  Observer
	ledger    Ledger
	strangers Strangers
	stranger  index.Key // the profile of those who are no Machine; empty: none

	undelivered func(*http.Request) (bytes int64, gone bool)
	sent        func(*http.Request) func() int64
	transfers   transfers
	requests    atomic.Uint64
}

// New returns a Handler.
func New(o Options) *Handler {
	return &Handler{
		index:     o.Index,
		artifacts: o.Artifacts,
		loaders:   o.Loaders,
		addresses: o.Addresses,
		tokens:    o.Tokens,
		log:       o.Log,
		hints:     newHints(),
		instance:  o.Instance,
		observer:  o.Observer,
		ledger:    o.Ledger,
		strangers: o.Strangers,
		stranger:  o.DefaultProfile,

		undelivered: o.Undelivered,
		sent:        o.Sent,
	}
}

// Open answers one request. The caller closes the File. The error is a *Refusal, or our own fault.
func (h *Handler) Open(ctx context.Context, r *Request) (*File, error) {
	a := parse(r.Name, r.Query)
	r.event.asked(a)
	switch a.kind {
	case askConfig:
		return h.config(r, a)
	case askBootstrap:
		return h.bootstrap(r, a)
	case askArtifact:
		return h.artifact(ctx, r, a.digest)
	case askText:
		return h.text(r, a)
	case askSeed:
		return h.seed(r, a)
	case askMachineFile:
		return h.machineFile(ctx, r, a)
	case askFile:
		return h.file(ctx, r, a)
	case askNobody:
		return nil, &Refusal{Kind: attempt.RefusedUnknownMachine, Reason: "no machine is known by this name"}
	}
	return nil, noSuchName()
}

func noSuchName() *Refusal { return &Refusal{Kind: attempt.RefusedNoFile, Reason: "no such name"} }

// config renders the boot configuration of the machine that asks.
func (h *Handler) config(r *Request, a ask) (*File, error) {
	m := h.index.Lookup(a.id)
	if m == nil {
		if m = h.strangerOf(a.id); m == nil {
			if h.strangers != nil {
				h.strangers.Unknown(a.id, a.arch)
			}
			return nil, unknown(a.id)
		}
		return h.configOf(m, r, a)
	}
	h.hints.learn(r.Client, m.Key)
	r.event.machine(m)
	return h.configOf(m, r, a)
}

// strangerOf returns what a machine boots that is in no Machine: the default profile, each time. Nil: nothing.
func (h *Handler) strangerOf(id index.Identity) *index.Machine {
	if h.stranger == "" || id.MAC.IsZero() {
		return nil
	}
	p := h.index.Profile(h.stranger)
	if p == nil {
		return nil
	}
	name := strings.ReplaceAll(id.MAC.String(), ":", "-")
	return &index.Machine{
		Key: index.Key(p.Namespace + "/" + name), MACs: []index.MAC{id.MAC}, Name: name, Namespace: p.Namespace, Hostname: name,
		Variables: map[string]string{}, Action: index.Netboot, CompleteOn: string(attempt.CompleteOnPayloadServed), Profile: p,
		KernelArgs: p.KernelArgs, LocalBoot: p.LocalBoot,
	}
}

// configOf renders the boot configuration of a machine.
func (h *Handler) configOf(m *index.Machine, r *Request, a ask) (*File, error) {
	if m.Action == index.Refuse {
		return nil, refused(m)
	}
	m, held := h.present(m, readsAgain)
	r.event.config(m, held, a.arch)
	req := h.renderRequest(r)
	req.MAC, req.Architecture = a.id.MAC, a.arch
	config, err := render.Render(a.format, m, req)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, local(m)
	case errors.Is(err, token.ErrNoKey):
		return nil, noKey(m)
	case errors.Is(err, errors.ErrUnsupported): // what this loader can never do
		kind := attempt.RefusedRender
		if m.Profile != nil && m.Profile.Platform(cmp.Or(m.Architecture, a.arch)) == nil {
			kind = attempt.RefusedArchitecture
		}
		return nil, &Refusal{Kind: kind, Reason: err.Error()}
	}
	if err != nil {
		// What a user wrote, not our fault: the same error stands in the Rendered condition.
		h.log.Info("Configuration does not render", "Machine", m.Key, "format", a.format, "reason", err.Error())
		return nil, &Refusal{
			Kind:   attempt.RefusedRender,
			Reason: fmt.Sprintf("Machine %s: the %s configuration does not render; see its condition Rendered", m.Key, a.format),
		}
	}
	file := newText(config, "text/plain; charset=utf-8")
	file.Machine = m.Key
	return file, nil
}

const (
	// readsAgain is for how long a loader may read its configuration once more in the last boot before its machine is held: GRUB and
	// PXELINUX read it twice. No machine boots anew so soon.
	readsAgain = 5 * time.Second
	// filesLast is the same for one that boots by files alone, as a Raspberry Pi does: the first file is what counts.
	filesLast = 2 * time.Minute
)

// present returns a machine as it is now, after what has happened since its entry was made. held says that it boots from its own
// disk because too many boots were not completed; the last of them may last as long as said.
func (h *Handler) present(m *index.Machine, lasts time.Duration) (now *index.Machine, held bool) {
	if h.ledger == nil {
		return m, false
	}
	action, held := h.ledger.Action(m, lasts)
	if action == m.Action {
		return m, false
	}
	changed := *m
	changed.Action = action
	return &changed, held
}

// refused says why a machine whose Action is Refuse gets nothing.
func refused(m *index.Machine) *Refusal {
	kind := attempt.RefusedProfile
	if m.RefusalReason == "ArchitectureNotInProfile" {
		kind = attempt.RefusedArchitecture
	}
	return &Refusal{Kind: kind, Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
}

func local(m *index.Machine) *Refusal {
	return &Refusal{Kind: attempt.RefusedLocal, Reason: fmt.Sprintf("Machine %s boots from its own disk", m.Key)}
}

// bootstrap answers the names that every machine asks for with a script that finds out who asks.
func (h *Handler) bootstrap(r *Request, a ask) (*File, error) {
	// PXELINUX comes here after its machine was refused, or was told nothing on purpose, and would boot the disk as if
	// nothing were wrong. (GRUB and iPXE come here first.)
	if a.format == render.PXELINUX {
		if m := h.index.Machine(h.hints.recall(r.Client)); m != nil {
			trial := *r // the machine told nothing of itself, and gets something else
			if _, err := h.configOf(m, &trial, a); err != nil {
				return nil, err
			}
		}
	}
	return newText(render.Bootstrap(a.format, h.renderRequest(r)), "text/plain; charset=utf-8"), nil
}

// artifact opens a file by its id: what profiles name, or what one named until lately and a running boot still needs. A
// profile whose URLs are dead must not take the file away from another that knows better ones.
func (h *Handler) artifact(ctx context.Context, r *Request, id index.ID) (*File, error) {
	h.begins(&r.event, -1) // it may have to be fetched first
	artifacts, _ := h.index.Artifacts(id)
	// A machine's entry may be newer than those of the profiles.
	if m := h.index.Machine(h.hints.recall(r.Client)); len(artifacts) == 0 && m != nil && m.Profile != nil {
		artifacts = slices.DeleteFunc(m.Profile.Artifacts(), func(a *index.Artifact) bool { return a.ID() != id })
	}
	var refused error
	for _, a := range artifacts {
		file, err := h.open(ctx, a, a.FileName())
		if err == nil || ctx.Err() != nil {
			return file, err
		}
		refused = err
	}
	if refused != nil {
		return nil, refused
	}
	f, err := h.artifacts.OpenCached(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Kind: attempt.RefusedNoFile, Reason: "no BootProfile names an artifact with this digest"}
	}
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", id, err)
	}
	return artifactFile(f, id, ""), nil
}

// machineFile opens a file of the profile of the machine whose MAC address starts the name.
func (h *Handler) machineFile(ctx context.Context, r *Request, a ask) (*File, error) {
	m := h.index.Lookup(a.id)
	if m == nil {
		return nil, unknown(a.id)
	}
	r.event.machine(m)
	m, r.event.Held = h.present(m, filesLast)
	switch m.Action {
	case index.Refuse:
		return nil, refused(m)
	case index.BootLocal:
		return nil, local(m)
	}
	if m.Profile.File(a.file) != nil {
		r.event.files(m)
	}
	arch := m.Architecture
	if arch == "" {
		arch = a.arch
	}
	file, err := h.profileFile(ctx, r, m.Profile, a.file, arch)
	if file != nil {
		file.Machine = m.Key
	}
	return file, err
}

// file opens a file below a profile's own path, a loader from the folder, or a file that only one profile has. The folder
// is the operator's and beats the profiles: who may write one in some namespace must not change what all machines boot.
func (h *Handler) file(ctx context.Context, r *Request, a ask) (*File, error) {
	if parts := strings.SplitN(a.file, "/", 3); len(parts) == 3 {
		if p := h.index.Profile(index.Key(parts[0] + "/" + parts[1])); p != nil {
			return h.profileFile(ctx, r, p, parts[2], a.arch)
		}
	}
	file, err := h.loader(a.file, a.arch)
	if !errors.Is(err, fs.ErrNotExist) {
		r.event.program(file)
		return file, err
	}
	for end, more := a.file, true; more; _, end, more = strings.Cut(end, "/") {
		if found := h.index.FileByPath(end); found != nil {
			return h.openFile(ctx, r, found, end)
		}
	}
	return nil, err
}

// profileFile opens a file of a profile, or a loader from the folder: a shim below a profile's path asks for its GRUB
// there. Nothing of another profile is below a profile's path. nbp.bios and nbp.efi are the network boot programs that
// the profile names for arch.
func (h *Handler) profileFile(ctx context.Context, r *Request, p *index.Profile, name string, arch index.Arch) (*File, error) {
	if program := networkBootProgram(p, name, arch); program != "" {
		name = program
	}
	if found := p.File(name); found != nil {
		return h.openFile(ctx, r, found, name)
	}
	file, err := h.loader(name, arch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Kind: attempt.RefusedNoFile, Reason: fmt.Sprintf("BootProfile %s has no file %q", p.Key, path.Base(name))}
	}
	r.event.program(file)
	return file, err
}

// openFile opens a profile's file, which may be a boot program.
func (h *Handler) openFile(ctx context.Context, r *Request, a *index.Artifact, name string) (*File, error) {
	r.event.Kind, r.event.Artifact = attempt.KindFile, a.ID()
	file, err := h.open(ctx, a, name)
	r.event.program(file)
	return file, err
}

// networkBootProgram returns what nbp.bios or nbp.efi, in whatever folder, stands for: what the first platform says that
// is of the given architecture, if there is one, and says something. It returns "" for any other name.
func networkBootProgram(p *index.Profile, name string, arch index.Arch) string {
	name = path.Base(name)
	for i := range p.Platforms {
		platform := &p.Platforms[i]
		if arch != "" && arch != platform.Architecture {
			continue
		}
		switch {
		case name == "nbp.bios" && platform.LoaderBIOS != "":
			return platform.LoaderBIOS
		case name == "nbp.efi" && platform.LoaderUEFI != "":
			return platform.LoaderUEFI
		}
	}
	return ""
}

// loader opens a network boot program from the folder.
func (h *Handler) loader(name string, arch index.Arch) (*File, error) {
	if h.loaders == nil {
		return nil, noFile(name)
	}
	f, err := h.loaders.open(name, arch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open loader %q: %w", name, err)
	}
	return loaderFile(f)
}

func noFile(name string) *Refusal {
	return &Refusal{Kind: attempt.RefusedNoFile, Reason: fmt.Sprintf("no loader or file is called %q", path.Base(name))}
}

// open opens an artifact, fetching it if need be. name is what it is called where it was asked for.
func (h *Handler) open(ctx context.Context, a *index.Artifact, name string) (*File, error) {
	f, err := h.artifacts.Open(ctx, a)
	if fault, ok := errors.AsType[*artifact.Error](err); ok && fault.Reason != artifact.ReasonStorageFailed { // that is ours
		h.log.Info("Artifact can't be had", "artifact", a.Field, "reason", fault.Error())
		kind := attempt.RefusedUpstream
		if fault.Reason == artifact.ReasonDigestMismatch {
			kind = attempt.RefusedDigest
		}
		return nil, &Refusal{Kind: kind, Reason: fmt.Sprintf("%s can't be served: %s", a.Field, fault.Reason), Unavailable: true}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", a.Field, err)
	}
	return artifactFile(f, a.ID(), name), nil
}

// unknown refuses an identity that no machine has. What a client sent is quoted and short.
func unknown(id index.Identity) *Refusal {
	reason := "the request tells no MAC address, UUID or serial number"
	switch {
	case !id.MAC.IsZero():
		reason = "no Machine has MAC address " + id.MAC.String()
	case id.UUID != "":
		reason = fmt.Sprintf("no Machine has UUID %.40q", id.UUID)
	case id.Serial != "":
		reason = fmt.Sprintf("no Machine has serial number %.64q", id.Serial)
	}
	return &Refusal{Kind: attempt.RefusedUnknownMachine, Reason: reason}
}
