// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real kube-apiserver and etcd, with the project's CRDs installed, for tests. There are no
// kubelets and no controllers behind it: nothing runs pods, and a deleted namespace stays Terminating.
//
// A server takes seconds to start, so a test package starts one at most, and only if a test asks for it:
//
//	var server controlplane.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Run(m)) }
//
//	func TestX(t *testing.T) {
//		c := controlplane.Client(t, server.Config(t))
//		namespace := controlplane.Namespace(t, c) // what keeps tests apart
//	}
package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/config/crd"
)

// patience bounds a start and a stop. Both take seconds, unless other tests have all the processors.
const patience = 2 * time.Minute

// A Server is an API server that starts when first needed. The zero value is ready for use.
type Server struct {
	once   sync.Once
	dir    string               // what outlives a stop of its programs
	env    *envtest.Environment // nil: not started
	config *rest.Config
	err    error
}

// Start starts an API server for one test; it stops when the test ends.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	var s Server
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return s.Config(t)
}

// Run runs the tests of a package and then stops the server, if one of them started it. It returns the exit code.
func (s *Server) Run(m *testing.M) int {
	code := m.Run()
	if err := s.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		return max(code, 1)
	}
	return code
}

// Config returns how to reach the server, as its administrator. The test fails, and is never skipped, if it does not
// start.
func (s *Server) Config(t testing.TB) *rest.Config {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	if s.err != nil {
		t.Fatalf("start the control plane: %v", s.err)
	}
	return rest.CopyConfig(s.config)
}

func (s *Server) start() error {
	binaries, err := findBinaries()
	if err != nil {
		return err
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return err
	}
	logf.SetLogger(logr.Discard()) // else controller-runtime complains that nobody did
	s.env = &envtest.Environment{
		BinaryAssetsDirectory:    binaries,
		CRDs:                     definitions,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
	}
	if err := s.keepFiles(); err != nil {
		return err
	}
	s.config, err = s.env.Start()
	if err != nil {
		return errors.Join(err, s.stop())
	}
	return nil
}

func (s *Server) stop() error {
	if s.env == nil {
		return nil
	}
	return errors.Join(s.env.Stop(), os.RemoveAll(s.dir))
}

// findBinaries returns the folder with etcd and kube-apiserver: KUBEBUILDER_ASSETS, or what hack/controlplane.sh finds,
// downloads or builds.
func findBinaries() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	//nolint:noctx // ends by itself; a build may outlast the test that asked for it
	script := exec.Command(filepath.Join(root, "hack", "controlplane.sh"))
	var stderr bytes.Buffer
	script.Stderr = &stderr
	stdout, err := script.Output()
	if err != nil {
		return "", fmt.Errorf("hack/controlplane.sh: %w\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(stdout)), nil
}

// moduleRoot returns the folder of go.mod: go test runs each test in the folder of its package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in the working folder or above: %w", err)
		}
		dir = filepath.Dir(dir)
	}
}

// Scheme returns a scheme with netboot.dev, core, events and authorization.
func Scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, authorizationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatalf("build the scheme: %v", err)
		}
	}
	return scheme
}

// Client returns a client without a cache. The server refuses what it writes with unknown fields.
func Client(t testing.TB, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: Scheme(t), FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return c
}

// Namespace makes a namespace that no other test has, and returns its name.
func Namespace(t testing.TB, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	return namespace.Name
}
