// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BootProfile says what machines boot: a kernel and its initrds for each architecture, kernel arguments, boot loaders,
// configurations for the installer.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=bp,categories=netboot
// +kubebuilder:metadata:labels="app.kubernetes.io/component=crds"
// +kubebuilder:printcolumn:name="Machines",type=integer,JSONPath=`.status.machines.total`
// +kubebuilder:printcolumn:name="Artifacts",type=string,JSONPath=`.status.artifactsCached`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type BootProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what to boot.
	//
	// +required
	Spec BootProfileSpec `json:"spec"`

	// status is what the operator found out about it.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status BootProfileStatus `json:"status,omitempty"`
}

// BootProfileList is a list of BootProfiles.
//
// +kubebuilder:object:root=true
type BootProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BootProfile `json:"items"`
}

// BootProfileSpec is what to boot.
type BootProfileSpec struct {
	// platforms hold what differs between CPU architectures; one item for each. A Machine that tells no architecture,
	// and whose loader tells none, gets the first.
	//
	// +required
	// +listType=map
	// +listMapKey=architecture
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Platforms []Platform `json:"platforms"`

	// kernelArgs are the arguments of the kernel, in order. A Machine's own come after them; see there for how the two
	// are merged. Example: ["ip=dhcp", "hostname={{ .Machine.Hostname }}"]
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	KernelArgs []KernelArgument `json:"kernelArgs,omitempty"`

	// configs are texts for the installer, served by HTTP.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Configs []Config `json:"configs,omitempty"`

	// files are served as they are, below the profile's own path /NAMESPACE/NAME/ and below /MAC/ of its machines;
	// and at the top when neither --loaders-dir nor another profile has the same path.
	//
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=128
	Files []File `json:"files,omitempty"`

	// templates replace the generated boot configuration of a loader as a whole: the last resort.
	//
	// +optional
	Templates *Templates `json:"templates,omitempty"`

	// payloadProtocol is how the loader fetches kernel and initrds. Auto: by HTTP where the loader is known to manage,
	// else the way it got its configuration. Default Auto.
	//
	// +optional
	// +default="Auto"
	// +kubebuilder:validation:Enum=Auto;HTTP;TFTP
	// +kubebuilder:validation:MaxLength=16
	PayloadProtocol PayloadProtocol `json:"payloadProtocol,omitempty"`

	// localBoot is how a machine that shall not boot this profile (done or disabled) goes on to its own disk.
	// Exit: the loader ends and the firmware tries its next boot device. SanBoot: the loader starts the first disk.
	// NotFound: the loader gets no configuration. ChainloadESP: the loader starts EFI/BOOT of the EFI system partition.
	// Default Exit.
	//
	// +optional
	// +default="Exit"
	// +kubebuilder:validation:Enum=Exit;SanBoot;NotFound;ChainloadESP
	// +kubebuilder:validation:MaxLength=16
	LocalBoot LocalBoot `json:"localBoot,omitempty"`
}

// PayloadProtocol is how a loader fetches kernel and initrds.
type PayloadProtocol string

// The values of [PayloadProtocol].
const (
	PayloadAuto PayloadProtocol = "Auto"
	PayloadHTTP PayloadProtocol = "HTTP"
	PayloadTFTP PayloadProtocol = "TFTP"
)

// LocalBoot is how a loader hands over to the machine's own disk.
type LocalBoot string

// The values of [LocalBoot].
const (
	LocalBootExit         LocalBoot = "Exit"
	LocalBootSanBoot      LocalBoot = "SanBoot"
	LocalBootNotFound     LocalBoot = "NotFound"
	LocalBootChainloadESP LocalBoot = "ChainloadESP"
)

// Platform is what to boot on one CPU architecture.
//
// +kubebuilder:validation:XValidation:rule="has(self.kernel) != has(self.uki)",message="set kernel (and initrds), or uki for a unified kernel image; one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.initrds) || size(self.initrds) == 0 || has(self.kernel)",message="initrds need a kernel: set kernel, or remove initrds (a uki holds its own)"
type Platform struct {
	// architecture of the machines that this is for.
	//
	// +required
	Architecture Architecture `json:"architecture"`

	// kernel image.
	//
	// +optional
	Kernel *Artifact `json:"kernel,omitempty"`

	// initrds are loaded in this order, one after the other in memory.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Initrds []Artifact `json:"initrds,omitempty"`

	// uki is a unified kernel image (kernel, initrd and command line in one EFI program), instead of kernel and initrds.
	// PXELINUX can't boot one.
	//
	// +optional
	UKI *Artifact `json:"uki,omitempty"`

	// deviceTree is a flattened device tree blob for boards whose firmware brings none (U-Boot, GRUB).
	//
	// +optional
	DeviceTree *Artifact `json:"deviceTree,omitempty"`

	// loader says which network boot programs these machines start with.
	//
	// +optional
	Loader *Loader `json:"loader,omitempty"`
}

// Loader names the network boot programs of a platform.
type Loader struct {
	// bios is the file name of the program for BIOS machines, in --loaders-dir or in files. It is what the names
	// /NAMESPACE/PROFILE/nbp.bios and /MAC/nbp.bios serve. Example: pxelinux.0
	//
	// +optional
	BIOS FilePath `json:"bios,omitempty"`

	// uefi is the file name of the program for UEFI machines, in --loaders-dir or in files. It is what the names
	// /NAMESPACE/PROFILE/nbp.efi and /MAC/nbp.efi serve. Example: grubnetx64.efi.signed
	//
	// +optional
	UEFI FilePath `json:"uefi,omitempty"`

	// files are loaders of the profile's own, by name: a signed shim and GRUB, say. Served below the profile's own path
	// /NAMESPACE/NAME/, and at the top when neither --loaders-dir nor another profile has the same name.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Files []LoaderFile `json:"files,omitempty"`
}

// LoaderFile is a boot loader that a profile brings along.
type LoaderFile struct {
	Artifact `json:",inline"`

	// name that the firmware or the loader before it asks for. Example: shimx64.efi
	//
	// +required
	Name FilePath `json:"name"`
}

// File is a further file, served at a path.
type File struct {
	Artifact `json:",inline"`

	// path below the profile's own. Example: overlays/vc4.dtbo
	//
	// +required
	Path FilePath `json:"path"`
}

// FilePath is a relative path of plain names, separated by "/".
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_+][A-Za-z0-9._+-]*(/[A-Za-z0-9_+][A-Za-z0-9._+-]*)*$')",message="a path is names of letters, digits, '.', '_', '+' and '-' separated by '/', none starting with '.' or '-', without a leading '/'"
type FilePath string

// Templates are whole boot configurations, Go text/templates that replace the generated ones.
type Templates struct {
	// pxelinux replaces the configuration of PXELINUX, and of all who read its format.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	PXELINUX string `json:"pxelinux,omitempty"`

	// grub replaces the configuration of GRUB 2.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	GRUB string `json:"grub,omitempty"`

	// ipxe replaces the script of iPXE.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	IPXE string `json:"ipxe,omitempty"`
}

// BootProfileStatus is what the operator found out about a BootProfile.
type BootProfileStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of; -1 before the first look.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, ArtifactsReady, Ready; Reconciling while artifacts come; Stalled while only an edit can help.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// artifactsCached says how many of the artifacts are on every pod, and while some come, how much of all bytes has come.
	// Example: 1/3 (45%)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ArtifactsCached string `json:"artifactsCached,omitempty"`

	// artifacts tells of each artifact how far it is.
	//
	// +optional
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MaxItems=512
	Artifacts []ArtifactStatus `json:"artifacts,omitempty"`

	// machines counts the Machines that use this profile.
	//
	// +optional
	Machines *MachineCounts `json:"machines,omitempty"`
}

// ArtifactStatus tells how far an artifact of a profile is.
type ArtifactStatus struct {
	// field of the spec that names the artifact. Example: platforms[0].kernel
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Field string `json:"field"`

	// sizeBytes is the size of the file, in bytes; 0 while it is not known.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	SizeBytes int64 `json:"sizeBytes,omitempty"`

	// state of the artifact. Pending: no pod has begun to fetch it. Fetching: not all pods have it yet. Cached: all pods
	// have it. Failed: a pod could not get it, and tries again.
	//
	// +optional
	// +kubebuilder:validation:Enum=Pending;Fetching;Cached;Failed
	// +kubebuilder:validation:MaxLength=16
	State ArtifactState `json:"state,omitempty"`

	// pods says on how many of how many pods it is. Example: 2/3
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Pods string `json:"pods,omitempty"`

	// message says what is wrong, and where; or while it comes, how much of it has. Empty when all pods have it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ArtifactState is how far an artifact is.
type ArtifactState string

// The values of [ArtifactState].
const (
	ArtifactPending  ArtifactState = "Pending"
	ArtifactFetching ArtifactState = "Fetching"
	ArtifactCached   ArtifactState = "Cached"
	ArtifactFailed   ArtifactState = "Failed"
)

// MachineCounts counts the Machines of a BootProfile.
type MachineCounts struct {
	// total is how many Machines name this profile.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total"`

	// armed is how many of them would boot it now.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Armed int32 `json:"armed,omitempty"`

	// booted is how many of them have completed a boot of their present bootID.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Booted int32 `json:"booted,omitempty"`

	// stuck is how many of them did not get through their last boot.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Stuck int32 `json:"stuck,omitempty"`
}
