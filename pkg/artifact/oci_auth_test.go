// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	username = "robot"
	password = "correct horse"
	token    = "eyJhbGciOi"
)

// basicAuth guards a registry with a password.
func basicAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if u, p, ok := req.BasicAuth(); !ok || u != username || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="boot"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no, `+p+`"}]}`)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// bearerAuth guards a registry as the public ones are: with tokens, which a server of its own gives for a password.
func bearerAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/token":
			if u, p, _ := req.BasicAuth(); u != username || p != password || req.FormValue("scope") != "repository:boot:pull" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, `{"token":"`+token+`"}`)
		case req.Header.Get("Authorization") != "Bearer "+token:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="boot",scope="repository:boot:pull"`, req.Host))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// dockerConfig is what kubectl create secret docker-registry makes.
func dockerConfig(host, password string) []byte {
	return fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
}

func TestOCICredentials(t *testing.T) {
	const refused = `: the registry answered 401 Unauthorized%s: does it want credentials, or others? They are in the Secret that secretRef names`
	for guard, with := range map[string]struct {
		guard     func(http.Handler) http.Handler
		wantToken int // times that a token is asked for when the artifact comes
		wantCode  string
	}{
		"basic":  {guard: basicAuth, wantCode: ` ("UNAUTHORIZED")`},
		"bearer": {guard: bearerAuth, wantToken: 1},
	} {
		r := newRegistry(t, with.guard)
		_, host, _ := strings.Cut(r.URL, "://")
		r.manifest(t, "boot", "v1", r.layer(t, "boot", "", kernel))
		for name, tc := range map[string]struct {
			credentials *index.Credentials
			wantText    string // empty: it comes
		}{
			"right":                    {credentials: &index.Credentials{Username: username, Password: password}},
			"in a docker config":       {credentials: &index.Credentials{DockerConfig: dockerConfig(host, password)}},
			"by repository":            {credentials: &index.Credentials{DockerConfig: dockerConfig("https://"+host+"/boot", password)}},
			"by API version":           {credentials: &index.Credentials{DockerConfig: dockerConfig("http://"+host+"/v2/", password)}},
			"none":                     {wantText: refused},
			"empty":                    {credentials: &index.Credentials{}, wantText: refused},
			"wrong":                    {credentials: &index.Credentials{Username: username, Password: "battery"}, wantText: refused},
			"wrong in a docker config": {credentials: &index.Credentials{DockerConfig: dockerConfig(host, "battery")}, wantText: refused},
			"for another host":         {credentials: &index.Credentials{DockerConfig: dockerConfig("registry.example.com", password)}, wantText: refused},
			"for another repository":   {credentials: &index.Credentials{DockerConfig: dockerConfig(host+"/boo", password)}, wantText: refused},
			"not a docker config": {
				credentials: &index.Credentials{DockerConfig: []byte(password)},
				wantText:    ": the .dockerconfigjson of the Secret can't be read: make it with kubectl create secret docker-registry",
			},
		} {
			t.Run(guard+" "+name, func(t *testing.T) {
				a := verified(kernel, r.url("boot:v1"))
				a.Credentials = tc.credentials
				before := len(r.requests("/token"))
				f, err := newStore(t, artifact.Options{}).Open(t.Context(), a)
				if tc.wantText == "" {
					wantContent(t, f, err, kernel)
					if got := len(r.requests("/token")) - before; got != with.wantToken {
						t.Errorf("a token was asked for %d times, want %d", got, with.wantToken)
					}
					return
				}
				text := tc.wantText
				if strings.Contains(text, "%s") {
					code := with.wantCode
					if a.Credentials == nil || a.Credentials.Password == "" && !strings.Contains(string(a.Credentials.DockerConfig), host+`"`) {
						code = "" // nobody was asked with a password
					}
					text = fmt.Sprintf(text, code)
				}
				wantError(t, f, err, artifact.ReasonUnauthorized, " from "+a.URLs[0]+text)
				if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "battery") {
					t.Errorf("the error tells a password: %v", err)
				}
			})
		}
		t.Run(guard+" with a token", func(t *testing.T) {
			a := verified(kernel, r.url("boot:v1"))
			a.Credentials = &index.Credentials{BearerToken: token}
			f, err := newStore(t, artifact.Options{}).Open(t.Context(), a)
			if guard == "bearer" {
				wantContent(t, f, err, kernel)
				return
			}
			wantError(t, f, err, artifact.ReasonUnauthorized, " from "+a.URLs[0]+
				": sign in to the registry: missing username or password for basic auth")
		})
	}
}

// TestOCICredentialsStayWithTheirHost lets a registry keep its blobs elsewhere, as the public ones do.
func TestOCICredentialsStayWithTheirHost(t *testing.T) {
	for name, guard := range map[string]func(http.Handler) http.Handler{"basic": basicAuth, "bearer": bearerAuth} {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			elsewhere := newUpstream(t, func(w http.ResponseWriter, req *http.Request) {
				got = req.Header.Clone()
				answering(kernel)(w, req)
			})
			r := newRegistry(t, func(next http.Handler) http.Handler {
				return guard(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if strings.Contains(req.URL.Path, "/blobs/") {
						http.Redirect(w, req, elsewhere.URL+"/x?signature=1", http.StatusTemporaryRedirect)
						return
					}
					next.ServeHTTP(w, req)
				}))
			})
			r.manifest(t, "boot", "v1", r.layer(t, "boot", "", kernel))
			a := verified(kernel, r.url("boot:v1"))
			a.Credentials = &index.Credentials{Username: username, Password: password}
			f, err := newStore(t, artifact.Options{}).Open(t.Context(), a)
			wantContent(t, f, err, kernel)
			if secret := got.Get("Authorization"); secret != "" || len(got) == 0 {
				t.Errorf("the other host was sent Authorization: %q", secret)
			}
		})
	}
}

func TestOCIWithOwnCA(t *testing.T) {
	r := newUnstartedRegistry(basicAuth)
	r.StartTLS()
	t.Cleanup(r.Close)
	r.manifest(t, "boot", "v1", r.layer(t, "boot", "", kernel))
	a := verified(kernel, r.url("boot:v1?plainHTTP=false"))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	a.Credentials = &index.Credentials{Username: username, Password: password}
	s := newStore(t, artifact.Options{})
	f, err := s.Open(t.Context(), a)
	wantError(t, f, err, artifact.ReasonUpstreamUnavailable,
		" from "+a.URLs[0]+": tls: failed to verify certificate: x509: certificate signed by unknown authority")

	trusted := verified(kernel, a.URLs[0])
	trusted.Credentials = &index.Credentials{Username: username, Password: password, CA: ca}
	f, err = newStore(t, artifact.Options{}).Open(t.Context(), trusted)
	wantContent(t, f, err, kernel)
}
