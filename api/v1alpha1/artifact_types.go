// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Artifact is one file to serve: where it comes from, and the digest that its bytes must have.
//
// +kubebuilder:validation:XValidation:rule="has(self.sha256) != (has(self.insecureSkipVerify) && self.insecureSkipVerify)",message="set sha256 (sha256sum FILE prints it), or insecureSkipVerify: true for a file without a known digest; one of the two"
type Artifact struct {
	// url is where the file comes from. http and https name a server; oci names a blob, a layer or a file in an image of
	// a registry, as in oci://HOST/REPOSITORY:TAG#title=NAME, oci://HOST/REPOSITORY:TAG#path=boot/vmlinuz or
	// oci://HOST/REPOSITORY@sha256:HEX; file:///NAME is NAME below the folder given by --files-dir. Credentials do not
	// belong into it. Example: https://mirror.example.com/debian/linux
	//
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?://[^/?#]+|oci://[^/?#]+|file:///)[!-~]*$')",message="url must start with http://HOST, https://HOST, oci://HOST or file:/// and hold no spaces or control characters (write a space as %20)"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('oci:') || self.matches('^oci://[^/]+/[^:@?#]+[:@]')",message="a url with oci must name a tag or a digest: oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:HEX, then #title=NAME or #path=PATH if need be"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?#]*@')",message="url must not hold a user name or password: remove the part before @"
	URL string `json:"url"`

	// mirrors are further URLs of the same file, tried in this order when url fails.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=8
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(https?://[^/?#]+|oci://[^/?#]+|file:///)[!-~]*$')",message="a mirror must start with http://HOST, https://HOST, oci://HOST or file:/// and hold no spaces or control characters (write a space as %20)"
	// +kubebuilder:validation:items:XValidation:rule="!self.startsWith('oci:') || self.matches('^oci://[^/]+/[^:@?#]+[:@]')",message="a mirror with oci must name a tag or a digest: oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:HEX, then #title=NAME or #path=PATH if need be"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^[a-z]+://[^/?#]*@')",message="a mirror must not hold a user name or password: remove the part before @"
	Mirrors []string `json:"mirrors,omitempty"`

	// sha256 is the digest of the file, 64 lower-case hex digits, as printed by sha256sum. Bytes with another digest
	// are never served.
	//
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{64}$')",message="sha256 must be 64 lower-case hex digits, as printed by: sha256sum FILE"
	SHA256 string `json:"sha256,omitempty"`

	// insecureSkipVerify serves whatever the URL delivers, without a digest. Default false. A machine then boots
	// what any host on the path chose to send. From http and https it is fetched once by each pod, and again after that
	// was restarted; a file is read anew each time.
	//
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`

	// secretRef names a Secret in the same namespace with what the servers of url and mirrors want to see: username and
	// password, or bearerToken; and what proves that they are the right ones: ca.crt, certificates in PEM. A Secret of the
	// type kubernetes.io/dockerconfigjson holds those of registries, for oci.
	//
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// name of the Secret, in the namespace of the object that refers to it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}
