// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// APIPrefix is the path below which ServeHTTP answers.
const APIPrefix = "/apis/netboot.dev/v1alpha1/"

// ServeHTTP answers GET for one object or for all of a namespace, in the shape of the API server's answers:
//
//	/apis/netboot.dev/v1alpha1/namespaces/NAMESPACE/machines[/NAME]
//	/apis/netboot.dev/v1alpha1/namespaces/NAMESPACE/bootprofiles[/NAME]
//
// and without "namespaces/NAMESPACE" for all namespaces. It reads only.
func (s *Standalone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		answer(w, failure(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "only GET is answered here: edit the manifests instead"))
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, APIPrefix), "/")
	namespace := ""
	if len(parts) >= 3 && parts[0] == "namespaces" {
		namespace, parts = parts[1], parts[2:]
	}
	switch {
	case len(parts) == 1:
		answer(w, s.list(parts[0], namespace))
	case len(parts) == 2 && namespace != "":
		answer(w, s.object(parts[0], index.Key(namespace+"/"+parts[1])))
	default:
		answer(w, noSuchPath())
	}
}

func (s *Standalone) list(resource, namespace string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch resource {
	case "machines":
		list := &v1alpha1.MachineList{TypeMeta: typeMeta("MachineList"), Items: []v1alpha1.Machine{}}
		for _, key := range slices.Sorted(maps.Keys(s.machines)) {
			if m := s.machines[key]; namespace == "" || m.Namespace == namespace {
				list.Items = append(list.Items, *m.DeepCopy())
			}
		}
		return list
	case "bootprofiles":
		list := &v1alpha1.BootProfileList{TypeMeta: typeMeta("BootProfileList"), Items: []v1alpha1.BootProfile{}}
		for _, key := range slices.Sorted(maps.Keys(s.profiles)) {
			if p := s.profiles[key]; namespace == "" || p.Namespace == namespace {
				list.Items = append(list.Items, *p.DeepCopy())
			}
		}
		return list
	}
	return noSuchPath()
}

func (s *Standalone) object(resource string, key index.Key) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch resource {
	case "machines":
		if m := s.machines[key]; m != nil {
			return m.DeepCopy()
		}
	case "bootprofiles":
		if p := s.profiles[key]; p != nil {
			return p.DeepCopy()
		}
	default:
		return noSuchPath()
	}
	_, name, _ := strings.Cut(string(key), "/")
	return failure(http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("%s.netboot.dev %q not found", resource, name))
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: v1alpha1.GroupVersion.String()}
}

func noSuchPath() *metav1.Status {
	return failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}

func failure(code int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	}
}

func answer(w http.ResponseWriter, o any) {
	w.Header().Set("Content-Type", "application/json")
	if status, ok := o.(*metav1.Status); ok {
		w.WriteHeader(int(status.Code))
	}
	_ = json.NewEncoder(w).Encode(o) // the client is gone, or not: nobody else to tell
}
