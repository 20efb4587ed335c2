// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOwnersIn(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	const pod = `{"kubernetes.io":{"namespace":"lab","pod":{"name":"p-1","uid":"u-1"},"serviceaccount":{"name":"s","uid":"u-2"}}}`
	account := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: "s", UID: "u-2"}}
	for name, tc := range map[string]struct {
		token string
		want  owners
	}{
		"of a pod": {token(pod) + "\n", owners{
			account: account, pod: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p-1", UID: "u-1"}},
		}},
		"of no pod":             {token(`{"kubernetes.io":{"namespace":"lab","serviceaccount":{"name":"s","uid":"u-2"}}}`), owners{account: account}},
		"of a pod elsewhere":    {token(`{"kubernetes.io":{"namespace":"other","pod":{"name":"p","uid":"u"},"serviceaccount":{"name":"s","uid":"u"}}}`), owners{}},
		"without UIDs":          {token(`{"kubernetes.io":{"namespace":"lab","pod":{"name":"p"},"serviceaccount":{"name":"s"}}}`), owners{}},
		"of another issuer":     {token(`{"sub":"me"}`), owners{}},
		"that is not JSON":      {token("me"), owners{}},
		"that is not base64":    {"e30.*.c2ln", owners{}},
		"that is no JSON token": {"0123456789", owners{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ownersIn(tc.token, "lab"), cmp.AllowUnexported(owners{})); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
		})
	}
}
