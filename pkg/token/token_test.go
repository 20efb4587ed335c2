// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/pkg/token"
)

func keyring(t *testing.T, keys ...token.Key) *token.Keyring {
	t.Helper()
	r, err := token.New(token.Options{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r.Use(keys...)
	return r
}

func someClaim() token.Claim { return token.Claim{Machine: "lab/n7", BootID: "1", Scope: "config/ks"} }

func TestCheck(t *testing.T) {
	current, previous, gone := token.NewKey(), token.NewKey(), token.NewKey()
	other := func(edit func(*token.Claim)) token.Claim {
		c := someClaim()
		edit(&c)
		return c
	}
	later := time.Now().Add(time.Hour)
	good := token.Sign(current, someClaim(), later)
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"its own":                            {good, nil},
		"its own, by the key before":         {token.Sign(previous, someClaim(), later), nil},
		"by a key that is gone":              {token.Sign(gone, someClaim(), later), token.ErrWrong},
		"expired":                            {token.Sign(current, someClaim(), time.Now().Add(-time.Second)), token.ErrExpired},
		"expires just now":                   {token.Sign(current, someClaim(), time.Now()), token.ErrExpired},
		"expired and not ours: not believed": {token.Sign(gone, someClaim(), time.Unix(1, 0)), token.ErrWrong},
		"another machine's":                  {token.Sign(current, other(func(c *token.Claim) { c.Machine = "lab/n8" }), later), token.ErrWrong},
		"another namespace's":                {token.Sign(current, other(func(c *token.Claim) { c.Machine = "prod/n7" }), later), token.ErrWrong},
		"an older boot's":                    {token.Sign(current, other(func(c *token.Claim) { c.BootID = "0" }), later), token.ErrWrong},
		"another config's":                   {token.Sign(current, other(func(c *token.Claim) { c.Scope = "seed" }), later), token.ErrWrong},
		"parts that read the same joined": {
			token.Sign(current, token.Claim{Machine: "lab/n71", BootID: "", Scope: "config/ks"}, later), token.ErrWrong,
		},
		"none":                      {"", token.ErrMissing},
		"cut":                       {good[:len(good)-1], token.ErrMalformed},
		"longer":                    {good + "A", token.ErrMalformed},
		"with a line end":           {good[:24] + "\n" + good[24:47], token.ErrMalformed},
		"in another base64":         {base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xff", 36))), token.ErrMalformed},
		"in capitals":               {strings.ToUpper(good), token.ErrWrong},
		"a name where it should be": {"kickstart", token.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			err := keyring(t, current, previous).Check(someClaim(), tc.token)
			if !errors.Is(err, tc.want) {
				t.Errorf("Check() = %v, want %v", err, tc.want)
			}
			if err != nil && tc.token != "" && strings.Contains(err.Error(), tc.token) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

// TestEveryBitCounts changes each bit of a token.
func TestEveryBitCounts(t *testing.T) {
	k := token.NewKey()
	r := keyring(t, k)
	raw, err := base64.RawURLEncoding.DecodeString(token.Sign(k, someClaim(), time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		if err := r.Check(someClaim(), base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, token.ErrWrong) {
			t.Errorf("bit %d changed: Check() = %v", bit, err)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
	if err := r.Check(someClaim(), base64.RawURLEncoding.EncodeToString(raw)); err != nil {
		t.Errorf("as it was: Check() = %v", err)
	}
}

func TestTokensLastForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keyring(t, token.NewKey())
		for range 20 { // at various times between two steps
			text, err := r.Sign(someClaim())
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for _, step := range []struct {
				at   time.Duration
				want error
			}{
				{0, nil}, {time.Hour - time.Second, nil}, {time.Hour + time.Hour/16 + time.Second, token.ErrExpired},
			} {
				<-time.After(step.at - time.Since(start)) // virtual time
				if err := r.Check(someClaim(), text); !errors.Is(err, step.want) {
					t.Errorf("after %v: Check() = %v, want %v", step.at, err, step.want)
				}
			}
			<-time.After(17 * time.Second)
		}
	})
}

func TestRotation(t *testing.T) {
	first, second := token.NewKey(), token.NewKey()
	r := keyring(t)
	if _, err := r.Sign(someClaim()); !errors.Is(err, token.ErrNoKey) || r.Ready() {
		t.Errorf("without a key, Sign() = %v", err)
	}
	if err := r.Check(someClaim(), token.Sign(first, someClaim(), time.Now().Add(time.Hour))); !errors.Is(err, token.ErrNoKey) {
		t.Errorf("without a key, Check() = %v", err)
	}
	r.Use(first, token.Key{})
	text, err := r.Sign(someClaim())
	if err != nil || !r.Ready() {
		t.Fatal(err)
	}
	r.Use(second, first)
	if err := r.Check(someClaim(), text); err != nil {
		t.Errorf("while its key is the previous one, Check() = %v", err)
	}
	r.Use(second)
	if err := r.Check(someClaim(), text); !errors.Is(err, token.ErrWrong) {
		t.Errorf("after its key is gone, Check() = %v", err)
	}
}

func TestTTLOutOfBounds(t *testing.T) {
	for _, ttl := range []time.Duration{-1, time.Second, token.MaxTTL + 1} {
		if _, err := token.New(token.Options{TTL: ttl}); err == nil || !strings.Contains(err.Error(), "1m0s-168h0m0s") {
			t.Errorf("New() with %v: error %v", ttl, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r, err := token.New(token.Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	k := token.NewKey()
	r.Use(k)
	for _, text := range []string{
		"", "x", "y", token.Sign(token.NewKey(), someClaim(), time.Now().Add(time.Hour)), token.Sign(k, someClaim(), time.Unix(0, 0)),
		token.Sign(k, someClaim(), time.Now().Add(time.Hour)),
	} {
		_ = r.Check(someClaim(), text) // TestCheck has the errors
	}
	const want = `
# HELP netboot_config_token_key_available 1 while there is a key to sign and check tokens with; else configs of access Token are answered with 503.
# TYPE netboot_config_token_key_available gauge
netboot_config_token_key_available 1
# HELP netboot_config_tokens_refused_total Requests for a config or seed of access Token that were refused, by what was wrong with the token in the URL.
# TYPE netboot_config_tokens_refused_total counter
netboot_config_tokens_refused_total{reason="expired"} 1
netboot_config_tokens_refused_total{reason="malformed"} 2
netboot_config_tokens_refused_total{reason="missing"} 1
netboot_config_tokens_refused_total{reason="wrong"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	if _, err := token.New(token.Options{Registerer: registry}); err == nil {
		t.Error("a registry takes the same metrics twice")
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k := token.NewKey()
	asJSON, err := json.Marshal(map[string]token.Key{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.Write(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		fmt.Fprintf(&out, verb+verb+verb, k, &k, []token.Key{k})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "value", k, "pointer", &k)
	raw, err := base64.StdEncoding.DecodeString(string(k.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{string(k.Text()), string(raw), fmt.Sprintf("%d", raw), hex.EncodeToString(raw)} {
		if strings.Contains(out.String(), strings.Trim(secret, "[]")) {
			t.Errorf("printed:\n%s", &out)
		}
	}
}

func FuzzCheck(f *testing.F) {
	k := token.NewKey()
	claim := someClaim()
	expires := time.Now().Add(24 * time.Hour)
	good := token.Sign(k, claim, expires)
	f.Add(good, claim.Machine, claim.BootID, claim.Scope)
	f.Add(good[:47]+"=", claim.Machine, claim.BootID, claim.Scope)
	f.Add(good, "lab/n7config/ks", "", "")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, text, machine, bootID, scope string) {
		r, err := token.New(token.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.Use(k)
		asked := token.Claim{Machine: machine, BootID: bootID, Scope: scope}
		if accepted := r.Check(asked, text) == nil; accepted != (text == good && asked == claim) {
			t.Errorf("Check(%+v, %q) accepts: %v", asked, text, accepted)
		}
	})
}
