// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
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

// Options of a Handler.
type Options struct {
	Index     *index.Index // required
	Artifacts Artifacts    // required
	Loaders   *Loaders     // nil: no folder of loaders
	Addresses Addresses
	Tokens    Tokens      // nil: nobody gets a config of access Token
	Log       logr.Logger // zero: no log
	Instance  string      // what ProbeName holds: so a probe knows who answered
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
	}
}

// Open answers one request. The caller closes the File. The error is a *Refusal, or our own fault.
func (h *Handler) Open(ctx context.Context, r *Request) (*File, error) {
	switch a := parse(r.Name, r.Query); a.kind {
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
		return h.machineFile(ctx, a)
	case askFile:
		return h.file(ctx, a)
	case askNobody:
		return nil, &Refusal{Reason: "no machine is known by this name"}
	}
	return nil, &Refusal{Reason: "no such name"}
}

// config renders the boot configuration of the machine that asks.
func (h *Handler) config(r *Request, a ask) (*File, error) {
	m := h.index.Lookup(a.id)
	if m == nil {
		return nil, unknown(a.id)
	}
	h.hints.learn(r.Client, m.Key)
	return h.configOf(m, r, a)
}

// configOf renders the boot configuration of a machine.
func (h *Handler) configOf(m *index.Machine, r *Request, a ask) (*File, error) {
	if m.Action == index.Refuse {
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
	}
	req := h.renderRequest(r)
	req.MAC, req.Architecture = a.id.MAC, a.arch
	config, err := render.Render(a.format, m, req)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s boots from its own disk", m.Key)}
	}
	if errors.Is(err, token.ErrNoKey) {
		return nil, noKey(m)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, &Refusal{Reason: err.Error()} // what this loader can never do
	}
	if err != nil {
		// What a user wrote, not our fault: the same error stands in the Rendered condition.
		h.log.Info("Configuration does not render", "Machine", m.Key, "format", a.format, "reason", err.Error())
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: the %s configuration does not render; see its condition Rendered", m.Key, a.format)}
	}
	file := newText(config, "text/plain; charset=utf-8")
	file.Machine = m.Key
	return file, nil
}

// bootstrap answers the names that every machine asks for with a script that finds out who asks.
func (h *Handler) bootstrap(r *Request, a ask) (*File, error) {
	// PXELINUX comes here after its machine was refused, or was told nothing on purpose, and would boot the disk as if
	// nothing were wrong. (GRUB and iPXE come here first.)
	if a.format == render.PXELINUX {
		if m := h.index.Machine(h.hints.recall(r.Client)); m != nil {
			if _, err := h.configOf(m, r, a); err != nil {
				return nil, err
			}
		}
	}
	return newText(render.Bootstrap(a.format, h.renderRequest(r)), "text/plain; charset=utf-8"), nil
}

// artifact opens a file by its id: what profiles name, or what one named until lately and a running boot still needs. A
// profile whose URLs are dead must not take the file away from another that knows better ones.
func (h *Handler) artifact(ctx context.Context, r *Request, id index.ID) (*File, error) {
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
		return nil, &Refusal{Reason: "no BootProfile names an artifact with this digest"}
	}
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", id, err)
	}
	return artifactFile(f, id, ""), nil
}

// machineFile opens a file of the profile of the machine whose MAC address starts the name.
func (h *Handler) machineFile(ctx context.Context, a ask) (*File, error) {
	m := h.index.Lookup(a.id)
	switch {
	case m == nil:
		return nil, unknown(a.id)
	case m.Action == index.Refuse:
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
	case m.Action == index.BootLocal:
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s boots from its own disk", m.Key)}
	}
	arch := m.Architecture
	if arch == "" {
		arch = a.arch
	}
	file, err := h.profileFile(ctx, m.Profile, a.file, arch)
	if file != nil {
		file.Machine = m.Key
	}
	return file, err
}

// file opens a file below a profile's own path, a loader from the folder, or a file that only one profile has. The folder
// is the operator's and beats the profiles: who may write one in some namespace must not change what all machines boot.
func (h *Handler) file(ctx context.Context, a ask) (*File, error) {
	if parts := strings.SplitN(a.file, "/", 3); len(parts) == 3 {
		if p := h.index.Profile(index.Key(parts[0] + "/" + parts[1])); p != nil {
			return h.profileFile(ctx, p, parts[2], a.arch)
		}
	}
	file, err := h.loader(a.file, a.arch)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	for end, more := a.file, true; more; _, end, more = strings.Cut(end, "/") {
		if found := h.index.FileByPath(end); found != nil {
			return h.open(ctx, found, end)
		}
	}
	return nil, err
}

// profileFile opens a file of a profile, or a loader from the folder: a shim below a profile's path asks for its GRUB
// there. Nothing of another profile is below a profile's path. nbp.bios and nbp.efi are the network boot programs that
// the profile names for arch.
func (h *Handler) profileFile(ctx context.Context, p *index.Profile, name string, arch index.Arch) (*File, error) {
	if program := networkBootProgram(p, name, arch); program != "" {
		name = program
	}
	if found := p.File(name); found != nil {
		return h.open(ctx, found, name)
	}
	file, err := h.loader(name, arch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Reason: fmt.Sprintf("BootProfile %s has no file %q", p.Key, path.Base(name))}
	}
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
	return &Refusal{Reason: fmt.Sprintf("no loader or file is called %q", path.Base(name))}
}

// open opens an artifact, fetching it if need be. name is what it is called where it was asked for.
func (h *Handler) open(ctx context.Context, a *index.Artifact, name string) (*File, error) {
	f, err := h.artifacts.Open(ctx, a)
	if fault, ok := errors.AsType[*artifact.Error](err); ok && fault.Reason != artifact.ReasonStorageFailed { // that is ours
		h.log.Info("Artifact can't be had", "artifact", a.Field, "reason", fault.Error())
		return nil, &Refusal{Reason: fmt.Sprintf("%s can't be served: %s", a.Field, fault.Reason), Unavailable: true}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", a.Field, err)
	}
	return artifactFile(f, a.ID(), name), nil
}

// unknown refuses an identity that no machine has. What a client sent is quoted and short.
func unknown(id index.Identity) *Refusal {
	switch {
	case !id.MAC.IsZero():
		return &Refusal{Reason: "no Machine has MAC address " + id.MAC.String()}
	case id.UUID != "":
		return &Refusal{Reason: fmt.Sprintf("no Machine has UUID %.40q", id.UUID)}
	case id.Serial != "":
		return &Refusal{Reason: fmt.Sprintf("no Machine has serial number %.64q", id.Serial)}
	}
	return &Refusal{Reason: "the request tells no MAC address, UUID or serial number"}
}
