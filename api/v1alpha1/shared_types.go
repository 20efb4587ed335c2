// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Architecture is the CPU architecture of a machine, in Go's and Kubernetes' names (kubernetes.io/arch).
//
// +kubebuilder:validation:Enum=amd64;arm64;"386";arm;riscv64
// +kubebuilder:validation:MaxLength=16
type Architecture string

// KernelArgument is one argument of a kernel command line, as a Go text/template. Spaces are allowed between double
// quotes only; a result that is empty is left out.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]')",message="a kernel argument must be one line without control characters: make each argument an item of its own"
type KernelArgument string

// Config is a text that a running installer or system asks for by HTTP: kickstart, preseed, autoinstall, Ignition,
// Talos, cloud-init.
//
// +kubebuilder:validation:ExactlyOneOf=template;configMapKeyRef;secretKeyRef
type Config struct {
	// name is the last part of the URL; .ConfigURL "NAME" in a template gives the whole of it. Those called user-data,
	// meta-data, vendor-data and network-config are also the files of a cloud-init seed, whose URL .SeedURL gives.
	// Example: kickstart
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",message="name may hold letters, digits, '.', '_' and '-', and must start and end with a letter or digit"
	Name string `json:"name"`

	// contentType is the HTTP Content-Type. When unset, text/plain; charset=utf-8.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*$')",message="contentType must be a media type such as text/plain or application/json; charset=utf-8"
	ContentType string `json:"contentType,omitempty"`

	// template is the text, a Go text/template.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Template *string `json:"template,omitempty"`

	// configMapKeyRef names a key of a ConfigMap in the same namespace that holds the text, a template as well.
	//
	// +optional
	ConfigMapKeyRef *KeySelector `json:"configMapKeyRef,omitempty"`

	// secretKeyRef names a key of a Secret in the same namespace that holds the text, a template as well. Nothing of it
	// is shown in status, Events or logs.
	//
	// +optional
	SecretKeyRef *KeySelector `json:"secretKeyRef,omitempty"`

	// access says who may read it. Token: the URL carries a token that is bound to the machine and its bootID, and that
	// expires (--config-token-ttl). Network: whoever reaches the server. Default Token.
	//
	// +optional
	// +default="Token"
	// +kubebuilder:validation:Enum=Token;Network
	// +kubebuilder:validation:MaxLength=16
	Access ConfigAccess `json:"access,omitempty"`
}

// ConfigAccess says who may read a [Config].
type ConfigAccess string

// The values of [ConfigAccess].
const (
	ConfigAccessToken   ConfigAccess = "Token"
	ConfigAccessNetwork ConfigAccess = "Network"
)

// KeySelector names one key of a ConfigMap or Secret.
type KeySelector struct {
	// name of the object, in the namespace of the object that refers to it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key in its data.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}
