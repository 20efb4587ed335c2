// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// Tokens makes and checks the tokens in the URLs of configs. Its methods are called from many goroutines at once and do
// not block.
type Tokens interface {
	// Sign returns a token for c. The error is token.ErrNoKey while there is no key.
	Sign(c token.Claim) (string, error)
	// Check returns nil if text is a token for c, token.ErrNoKey if nobody can know, and else what is wrong with it.
	Check(c token.Claim, text string) error
}

func claim(m *index.Machine, scope string) token.Claim {
	return token.Claim{Machine: string(m.Key), BootID: m.BootID, Scope: scope}
}

// sign returns a token for a URL in what is rendered.
func (h *Handler) sign(m *index.Machine, scope string) (string, error) {
	if h.tokens == nil {
		return "", token.ErrNoKey
	}
	return h.tokens.Sign(claim(m, scope))
}

// authorize returns nil if text opens scope of a machine, else a *Refusal.
func (h *Handler) authorize(m *index.Machine, scope, text string) error {
	err := token.ErrNoKey
	if h.tokens != nil {
		err = h.tokens.Check(claim(m, scope), text)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, token.ErrNoKey):
		return noKey(m)
	}
	kind := attempt.RefusedTokenWrong
	switch {
	case text == "":
		kind = attempt.RefusedTokenMissing
	case errors.Is(err, token.ErrExpired):
		kind = attempt.RefusedTokenExpired
	}
	return &Refusal{Kind: kind, Reason: fmt.Sprintf("Machine %s: %v", m.Key, err), Forbidden: true}
}

func noKey(m *index.Machine) *Refusal {
	return &Refusal{Kind: attempt.RefusedNotYet, Reason: fmt.Sprintf("Machine %s: %v; see the log of the server", m.Key, token.ErrNoKey), Later: true}
}

// text renders a config of a machine for its installer.
func (h *Handler) text(r *Request, a ask) (*File, error) {
	m, err := h.machineOfText(r, a)
	if err != nil {
		return nil, err
	}
	c := render.Config(m, a.file)
	switch {
	case c != nil:
	case a.token != "" && slices.Contains(render.Callbacks(), a.file):
		return nil, &Refusal{Kind: attempt.RefusedMethod, Reason: "only POST is answered here"}
	default:
		return nil, noConfig(m, a.file)
	}
	if c.Token {
		if err := h.authorize(m, render.ConfigScope(a.file), a.token); err != nil {
			return nil, err
		}
	}
	return h.textOf(m, r, a.file, render.ConfigText)
}

// seed renders a file of a machine's seed for cloud-init.
func (h *Handler) seed(r *Request, a ask) (*File, error) {
	m, err := h.machineOfText(r, a)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(render.SeedFiles(), a.file) {
		return nil, noSuchName()
	}
	if render.SeedNeedsToken(m) {
		if err := h.authorize(m, render.SeedScope, a.token); err != nil {
			return nil, err
		}
	}
	return h.textOf(m, r, a.file, render.SeedText)
}

// machineOfText returns the machine that a text is asked for, if it may have one now: by HTTP, whose paths are not broadcast
// and can be encrypted, and while it boots its profile.
func (h *Handler) machineOfText(r *Request, a ask) (*index.Machine, error) {
	m := h.index.Machine(a.object)
	if r.Over != render.HTTP || m == nil {
		return nil, noSuchName()
	}
	r.event.machine(m)
	// A machine that is held now may just be in the last of the boots that it had; and where what completes a boot is that its files
	// were served, the installer in them begins only now.
	now, held := h.present(m, readsAgain)
	begins := m.Once && m.Profile != nil && m.CompleteOn == string(attempt.CompleteOnPayloadServed)
	if now.Action != index.Netboot && !held && !begins {
		return nil, &Refusal{Kind: attempt.RefusedOther, Reason: fmt.Sprintf("Machine %s does not boot its profile now", m.Key)}
	}
	return m, nil
}

func noConfig(m *index.Machine, name string) *Refusal {
	return &Refusal{Kind: attempt.RefusedNoFile, Reason: fmt.Sprintf("Machine %s has no config %q", m.Key, name)}
}

// textOf renders a text that whoever asks may have.
func (h *Handler) textOf(
	m *index.Machine, r *Request, name string, text func(*index.Machine, string, render.Request) (string, string, error),
) (*File, error) {
	c := render.Config(m, name)
	if c != nil && c.Unavailable != "" {
		h.log.Info("Config can't be had", "Machine", m.Key, "config", name, "reason", c.Unavailable)
		return nil, &Refusal{
			Kind:   attempt.RefusedRender,
			Reason: fmt.Sprintf("Machine %s: config %q can't be had; see its condition Rendered", m.Key, name), Unavailable: true,
		}
	}
	body, contentType, err := text(m, name, h.renderRequest(r))
	switch {
	case err == nil:
	case c == nil && errors.Is(err, fs.ErrNotExist):
		return nil, noConfig(m, name)
	case errors.Is(err, token.ErrNoKey):
		return nil, noKey(m)
	default:
		h.log.Info("Config does not render", "Machine", m.Key, "config", name, "reason", err.Error())
		return nil, &Refusal{
			Kind: attempt.RefusedRender, Reason: fmt.Sprintf("Machine %s: config %q does not render; see its condition Rendered", m.Key, name),
		}
	}
	file := newText([]byte(body), contentType)
	file.Machine = m.Key
	return file, nil
}

// reToken finds the token in a name, and in one that a client got wrong what may be one.
var reToken = regexp.MustCompile(`((?:^|/)t/+)[^/]+`)

// LogName returns a name as it may stand in a log, for tftp.Options.
func (*Handler) LogName(name string) string { return withoutToken(name) }

// withoutToken returns a name as it may stand in a log: a token is as good as a password while it lasts.
func withoutToken(name string) string {
	if !strings.Contains(name, "t/") && !strings.Contains(name, `t\`) || !reTokenFolder.MatchString(name) {
		return name // the first two are cheap, and most names have neither
	}
	cleaned, ok := clean(name)
	if !ok {
		return name[:reTokenFolder.FindStringIndex(name)[0]] + "/t/-"
	}
	return reToken.ReplaceAllString(cleaned, "${1}-")
}

// reTokenFolder finds the folder that tokens stand in, however its name is written.
var reTokenFolder = regexp.MustCompile(`(?:^|[/\\])t[/\\]`)
