// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// connection are the flags that say whom to ask.
type connection struct {
	rules      clientcmd.ClientConfigLoadingRules
	kube       clientcmd.ConfigOverrides
	standalone string // --server
	pods       string // namespace of netboot's pods; empty: all are looked through
}

func (c *connection) addFlags(flags *pflag.FlagSet) {
	c.rules = *clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&c.rules.ExplicitPath, "kubeconfig", "", "`FILE` that tells the API server (default: $KUBECONFIG or ~/.kube/config)")
	flags.StringVar(&c.kube.CurrentContext, "context", "", "`NAME` of the context in it")
	flags.StringVarP(&c.kube.Context.Namespace, "namespace", "n", "", "`NAMESPACE` of Machines (default: the context's; with --server: default)")
	flags.StringVar(&c.kube.AuthInfo.Impersonate, "as", "", "`USER` to act as, for who may")
	flags.StringVar(&c.standalone, "server", "",
		"`URL` of the metrics address of a netboot serve --manifests, such as http://127.0.0.1:8081; it is asked instead of a cluster")
	flags.StringVar(&c.pods, "operator-namespace", "netboot-system", "`NAMESPACE` of netboot's pods; empty: they are looked for in all")
}

// patience bounds one request to the API server or to a netboot.
const patience = 15 * time.Second

// A source is where Machines and what is known of them come from.
type source struct {
	standalone bool
	where      string // for messages
	namespace  string // that was asked for, or is the default
	pods       string // as in connection
	api        client.Reader
	core       corev1client.CoreV1Interface
	live       *rest.RESTClient // of a standalone netboot
}

// open returns the source that the flags name. Nothing is asked yet.
func (c *connection) open() (*source, error) {
	s := &source{standalone: c.standalone != "", pods: c.pods}
	config, err := c.config(s)
	if err != nil {
		return nil, err
	}
	if config.Timeout == 0 {
		config.Timeout = patience
	}
	config.QPS, config.Burst = -1, 0 // people wait for it, and it asks for little
	scheme, mapper := runtime.NewScheme(), meta.NewDefaultRESTMapper(nil)
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"Machine", "BootProfile"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	if s.api, err = client.New(config, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, usageError{err}
	}
	if s.core, err = corev1client.NewForConfig(config); err != nil {
		return nil, usageError{err}
	}
	if s.standalone {
		s.live, _ = s.core.RESTClient().(*rest.RESTClient)
	}
	return s, nil
}

// config returns how to reach whom the flags name, and tells s who that is.
func (c *connection) config(s *source) (*rest.Config, error) {
	if s.standalone {
		at, err := url.Parse(c.standalone)
		if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
			return nil, usagef("--server=%s: must be a URL such as http://127.0.0.1:8081", c.standalone)
		}
		s.where, s.namespace = "netboot at "+c.standalone, cmp.Or(c.kube.Context.Namespace, "default")
		return &rest.Config{Host: c.standalone}, nil
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&c.rules, &c.kube)
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, usagef("no kubeconfig tells an API server: set KUBECONFIG or --kubeconfig; " +
			"or ask a netboot that serves standalone, with --server=URL")
	}
	if err != nil {
		return nil, usageError{err}
	}
	s.where = "the API server at " + config.Host
	if s.namespace, _, err = loader.Namespace(); err != nil {
		return nil, usageError{err}
	}
	return config, nil
}

// machines returns the Machines of a namespace, or of all if that is empty, in the order of their names.
func (s *source) machines(ctx context.Context, namespace string, selector labels.Selector) ([]v1alpha1.Machine, error) {
	var list v1alpha1.MachineList
	if err := s.api.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, s.explain(err, access{verb: "list", group: v1alpha1.GroupVersion.Group, resource: "machines", namespace: namespace})
	}
	found := slices.DeleteFunc(list.Items, func(m v1alpha1.Machine) bool {
		return !selector.Matches(labels.Set(m.Labels)) // a standalone netboot returns all
	})
	slices.SortFunc(found, func(a, b v1alpha1.Machine) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return found, nil
}

// machine returns a Machine. The error of a name that none has tells the nearest.
func (s *source) machine(ctx context.Context, name string) (*v1alpha1.Machine, error) {
	var m v1alpha1.Machine
	err := s.api.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &m)
	if err == nil {
		return &m, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, s.explain(err, access{
			verb: "get", group: v1alpha1.GroupVersion.Group, resource: "machines", namespace: s.namespace, name: name,
		})
	}
	all, err := s.machines(ctx, s.namespace, labels.Everything())
	if err != nil && !apierrors.IsForbidden(err) { // who may read one Machine only gets no hint
		return nil, err
	}
	return nil, s.noMachine(name, all)
}

// noMachine says that a namespace has no Machine of a name.
func (s *source) noMachine(name string, all []v1alpha1.Machine) error {
	names := make([]string, 0, len(all))
	for i := range all {
		names = append(names, all[i].Name)
	}
	hint := s.typed("status")
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("no Machine %q in namespace %q: did you mean %q? All are listed by: %s", name, s.namespace, near, hint)
	}
	if len(all) == 0 {
		return fmt.Errorf("no Machine %q in namespace %q, which has none; those of all namespaces are listed by: kubectl netboot status -A", name, s.namespace)
	}
	return fmt.Errorf("no Machine %q in namespace %q; all are listed by: %s", name, s.namespace, hint)
}

// typed returns a command for the namespace at hand, as a person would type it.
func (s *source) typed(command string) string {
	return "kubectl netboot " + command + " -n " + s.namespace
}

// profileOf returns the BootProfile that a Machine names; nil if there is none.
func (s *source) profileOf(ctx context.Context, m *v1alpha1.Machine) (*v1alpha1.BootProfile, error) {
	if m.Spec.ProfileRef == nil {
		return nil, nil //nolint:nilnil // it needs none
	}
	var p v1alpha1.BootProfile
	err := s.api.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ProfileRef.Name}, &p)
	switch {
	case err == nil:
		return &p, nil
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // as far as servers are concerned
	}
	return nil, s.explain(err, access{
		verb: "get", group: v1alpha1.GroupVersion.Group, resource: "bootprofiles", namespace: m.Namespace, name: m.Spec.ProfileRef.Name,
	})
}
