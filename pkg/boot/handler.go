// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
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
	Log       logr.Logger // zero: no log
}

// Handler answers boot requests over TFTP and HTTP.
type Handler struct {
	index     *index.Index
	artifacts Artifacts
	loaders   *Loaders
	addresses Addresses
	log       logr.Logger
	hints     *hints
}

// New returns a Handler.
func New(o Options) *Handler {
	return &Handler{
		index:     o.Index,
		artifacts: o.Artifacts,
		loaders:   o.Loaders,
		addresses: o.Addresses,
		log:       o.Log,
		hints:     newHints(),
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
		return h.artifact(ctx, a.digest)
	case askText:
		return h.text(r, a)
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
		return nil, &Refusal{Reason: "no Machine has " + describe(a.id)}
	}
	h.hints.learn(r.Client, m.Key)
	if m.Action == index.Refuse {
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
	}
	req := h.renderRequest(r)
	req.MAC, req.Architecture = a.id.MAC, a.arch
	config, err := render.Render(a.format, m, req)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s boots from its own disk", m.Key)}
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
	// PXELINUX comes here after its machine was refused, and would boot the disk as if nothing were wrong. (GRUB and
	// iPXE come here first.)
	if a.format == render.PXELINUX {
		if m := h.index.Machine(h.hints.recall(r.Client)); m != nil && m.Action == index.Refuse {
			return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
		}
	}
	return newText(render.Bootstrap(a.format, h.renderRequest(r)), "text/plain; charset=utf-8"), nil
}

// text renders a configuration for the installer of a machine.
func (h *Handler) text(r *Request, a ask) (*File, error) {
	m := h.index.Machine(a.object)
	if r.Over != render.HTTP || m == nil {
		return nil, &Refusal{Reason: "no such name"}
	}
	body, contentType, err := render.ConfigText(m, a.file, h.renderRequest(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s has no config %q", m.Key, a.file)}
	}
	if err != nil {
		h.log.Info("Config does not render", "Machine", m.Key, "config", a.file, "reason", err.Error())
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: config %q does not render; see its condition Rendered", m.Key, a.file)}
	}
	file := newText([]byte(body), contentType)
	file.Machine = m.Key
	return file, nil
}

// artifact opens a file by its id: what a profile names, or what one named until lately and a running boot still needs.
func (h *Handler) artifact(ctx context.Context, id index.ID) (*File, error) {
	if a, _ := h.index.Artifact(id); a != nil {
		return h.open(ctx, a)
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
		return nil, &Refusal{Reason: "no Machine has " + describe(a.id)}
	case m.Action == index.Refuse:
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s: %s", m.Key, m.Refusal)}
	case m.Action == index.BootLocal:
		return nil, &Refusal{Reason: fmt.Sprintf("Machine %s boots from its own disk", m.Key)}
	}
	if artifact := m.Profile.File(a.file); artifact != nil {
		file, err := h.open(ctx, artifact)
		if file != nil {
			file.Machine = m.Key
		}
		return file, err
	}
	return nil, &Refusal{Reason: fmt.Sprintf("BootProfile %s has no file %q", m.Profile.Key, a.file)}
}

// file opens a file below a profile's own path, a loader from the folder, or a file that only one profile has.
func (h *Handler) file(ctx context.Context, a ask) (*File, error) {
	if parts := strings.SplitN(a.file, "/", 3); len(parts) == 3 {
		if p := h.index.Profile(index.Key(parts[0] + "/" + parts[1])); p != nil {
			if found := p.File(parts[2]); found != nil {
				return h.open(ctx, found)
			}
			a.file = parts[2] // a shim below the profile's path asks for its GRUB there, which may be in the folder
		}
	}
	for rest, more := a.file, true; more; _, rest, more = strings.Cut(rest, "/") {
		if found := h.index.FileByPath(rest); found != nil {
			return h.open(ctx, found)
		}
	}
	if h.loaders != nil {
		f, err := h.loaders.open(a.file, a.arch)
		if err == nil {
			return loaderFile(f)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open loader %q: %w", a.file, err)
		}
	}
	return nil, &Refusal{Reason: fmt.Sprintf("no loader or file is called %q", path.Base(a.file))}
}

// open opens an artifact, fetching it if need be.
func (h *Handler) open(ctx context.Context, a *index.Artifact) (*File, error) {
	f, err := h.artifacts.Open(ctx, a)
	if fault, ok := errors.AsType[*artifact.Error](err); ok {
		h.log.Info("Artifact can't be had", "artifact", a.Field, "reason", fault.Error())
		return nil, &Refusal{Reason: fmt.Sprintf("%s can't be served: %s", a.Field, fault.Reason), Unavailable: true}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", a.Field, err)
	}
	return artifactFile(f, a.ID(), a.FileName()), nil
}

// describe names an identity for a Refusal. What a client sent is quoted and short.
func describe(id index.Identity) string {
	switch {
	case !id.MAC.IsZero():
		return "MAC address " + id.MAC.String()
	case id.UUID != "":
		return fmt.Sprintf("UUID %.40q", id.UUID)
	case id.Serial != "":
		return fmt.Sprintf("serial number %.64q", id.Serial)
	}
	return "no identity: the request tells no MAC address, UUID or serial number"
}
