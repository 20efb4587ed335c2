// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Machine is a computer that boots from the network, known by the MAC addresses of its interfaces.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nbm,categories=netboot
// +kubebuilder:metadata:labels="app.kubernetes.io/component=crds"
// +kubebuilder:printcolumn:name="MAC",type=string,JSONPath=`.spec.macAddresses[0]`
// +kubebuilder:printcolumn:name="Profile",type=string,JSONPath=`.spec.profileRef.name`
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.bootPolicy`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.lastBoot.stage`
// +kubebuilder:printcolumn:name="Last-Boot",type=date,JSONPath=`.status.lastBoot.startTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type Machine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is who the machine is and what it shall boot.
	//
	// +required
	Spec MachineSpec `json:"spec"`

	// status is what the operator found out about it.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status MachineStatus `json:"status,omitempty"`
}

// MachineList is a list of Machines.
//
// +kubebuilder:object:root=true
type MachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Machine `json:"items"`
}

// MACAddress is the hardware address of an Ethernet interface: six bytes in hex, separated by ":" or "-", in any case.
//
// +kubebuilder:validation:MinLength=17
// +kubebuilder:validation:MaxLength=17
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$') || self.matches('^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}$')",message="a MAC address is six pairs of hex digits, such as 52:54:00:aa:bb:01"
// +kubebuilder:validation:XValidation:rule="!self.matches('^.[13579bBdDfF]') && !self.matches('^(00[:-]){5}00$')",message="this is a multicast or the zero address, which no interface can have: use the one printed by ip link or on the machine's label"
type MACAddress string

// VariableValue is a value for templates, one line.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]')",message="a variable must be one line without control characters"
type VariableValue string

// MachineSpec is who a machine is and what it shall boot.
type MachineSpec struct {
	// macAddresses of the interfaces that the machine may boot from; any of them will do. Compared in lower case with
	// colons. Example: ["52:54:00:aa:bb:01"]
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.lowerAscii().replace('-', ':') == b.lowerAscii().replace('-', ':')))",message="the same MAC address is listed twice (upper and lower case, ':' and '-' do not differ): remove one"
	MACAddresses []MACAddress `json:"macAddresses"`

	// systemUUID is the SMBIOS UUID, a further identity; as printed by dmidecode -s system-uuid. Some loaders swap the
	// bytes of its first three fields: both orders match.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$')",message="systemUUID must be a UUID such as a1b2c3d4-e5f6-4788-99aa-bbccddeeff00, as printed by: dmidecode -s system-uuid"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-]*$') && !self.matches('^[fF-]*$')",message="this systemUUID is a placeholder that many machines share: leave the field out"
	SystemUUID string `json:"systemUUID,omitempty"`

	// serialNumber is the SMBIOS or board serial number, a further identity.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]([ -~]*[!-~])?$')",message="serialNumber must be printable ASCII without space at either end"
	SerialNumber string `json:"serialNumber,omitempty"`

	// architecture of the machine's CPU. When unset, what the loader tells, else the first platform of the profile.
	//
	// +optional
	Architecture Architecture `json:"architecture,omitempty"`

	// hostname for templates. When unset, the object's name.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",message="hostname must be a DNS name in lower case, such as node-01 or node-01.example.com"
	Hostname string `json:"hostname,omitempty"`

	// profileRef names the BootProfile to boot, in the same namespace. When unset, the machine is known and boots from
	// its own disk.
	//
	// +optional
	ProfileRef *ProfileReference `json:"profileRef,omitempty"`

	// bootPolicy says when the machine boots its profile: Once, until the boot is completed, and again for each new
	// bootID; Continuous, each time it asks; Disabled, never. At other times it boots from its own disk. Default Once.
	//
	// +optional
	// +default="Once"
	// +kubebuilder:validation:Enum=Once;Continuous;Disabled
	// +kubebuilder:validation:MaxLength=16
	BootPolicy BootPolicy `json:"bootPolicy,omitempty"`

	// bootID tells boots under the policy Once apart: a new value arms the machine once more. Default "1".
	//
	// +optional
	// +default="1"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="bootID may hold letters, digits, '.', '_' and '-'"
	BootID string `json:"bootID,omitempty"`

	// completeOn says what completes a boot under the policy Once. Callback: the machine reports it over HTTP.
	// PayloadServed: the last file of the boot was sent. When unset, Callback if a rendered text holds the callback's
	// URL, else PayloadServed.
	//
	// +optional
	// +kubebuilder:validation:Enum=Callback;PayloadServed
	// +kubebuilder:validation:MaxLength=16
	CompleteOn CompleteOn `json:"completeOn,omitempty"`

	// kernelArgs come after the profile's. A key that is named here ("console" in "console=ttyS1") replaces all of the
	// profile's arguments with that key; "-KEY" removes them. Keys that are repeated within one list stay (two consoles).
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	KernelArgs []KernelArgument `json:"kernelArgs,omitempty"`

	// variables for templates: {rack: r12} is .Machine.Variables.rack there.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,62}$'))",message="the name of a variable must be letters, digits and '_', not start with a digit, and have at most 63 characters"
	Variables map[string]VariableValue `json:"variables,omitempty"`

	// configs of this machine take the place of the profile's with the same name.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Configs []Config `json:"configs,omitempty"`
}

// ProfileReference names a BootProfile in the same namespace.
type ProfileReference struct {
	// name of the BootProfile.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// BootPolicy says when a machine boots its profile (Redfish: BootSourceOverrideEnabled).
type BootPolicy string

// The values of [BootPolicy].
const (
	BootPolicyOnce       BootPolicy = "Once"
	BootPolicyContinuous BootPolicy = "Continuous"
	BootPolicyDisabled   BootPolicy = "Disabled"
)

// CompleteOn says what completes a boot under the policy Once.
type CompleteOn string

// The values of [CompleteOn].
const (
	CompleteOnCallback      CompleteOn = "Callback"
	CompleteOnPayloadServed CompleteOn = "PayloadServed"
)

// MachineStatus is what the operator found out about a Machine.
type MachineStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of; -1 before the first look.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, ProfileResolved, Rendered, Ready, NetbootArmed, Booted and, while only an edit can help, Stalled.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// profile is the BootProfile that the Machine was last resolved with.
	//
	// +optional
	Profile *ObservedProfile `json:"profile,omitempty"`

	// bootID is the spec.bootID whose boot is completed; empty before the first. Under the policy Once a Machine whose
	// two bootIDs are equal boots from its own disk.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID,omitempty"`

	// bootsSinceCompletion counts the boots that were begun and not completed, of the bootID in lastBoot.bootID. After three
	// of them a Machine of the policy Once is held: it boots from its own disk until it gets another bootID.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	BootsSinceCompletion int32 `json:"bootsSinceCompletion,omitempty"`

	// lastBoot is the latest boot that the servers saw.
	//
	// +optional
	LastBoot *LastBoot `json:"lastBoot,omitempty"`
}

// ObservedProfile is the state of a BootProfile that a Machine was resolved with.
type ObservedProfile struct {
	// name of the BootProfile.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// generation of the BootProfile.
	//
	// +required
	Generation int64 `json:"generation"`
}

// LastBoot is how far a machine came when it last booted.
type LastBoot struct {
	// startTime is when its first request came in.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// lastTime is when the machine was last heard of in this boot.
	//
	// +optional
	LastTime *metav1.Time `json:"lastTime,omitempty"`

	// endTime is when it was over: completed, gone on to the machine's own disk, stopped, or another one took its place.
	// Unset while it runs.
	//
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`

	// bootID is the Machine's when it got its boot configuration; empty before.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID,omitempty"`

	// action is what the boot configuration told the machine to do. Netboot: boot its profile. BootLocal: boot from its own
	// disk. Empty before it got one.
	//
	// +optional
	// +kubebuilder:validation:Enum=Netboot;BootLocal
	// +kubebuilder:validation:MaxLength=16
	Action BootAction `json:"action,omitempty"`

	// completeOn is what completes this boot.
	//
	// +optional
	// +kubebuilder:validation:Enum=Callback;PayloadServed
	// +kubebuilder:validation:MaxLength=16
	CompleteOn CompleteOn `json:"completeOn,omitempty"`

	// stage that the boot reached: Firmware, Loader, Config, Kernel, Initrd, Running or Done. Example: Kernel
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Stage string `json:"stage,omitempty"`

	// firmware that the machine booted by. Example: UEFI
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Firmware string `json:"firmware,omitempty"`

	// architecture that the requests told.
	//
	// +optional
	Architecture Architecture `json:"architecture,omitempty"`

	// loader that asked for the configuration. Example: GRUB
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Loader string `json:"loader,omitempty"`

	// clientIP is the address that the requests came from.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=45
	ClientIP string `json:"clientIP,omitempty"`

	// macAddress of the interface that booted, in lower case with colons.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=17
	MACAddress string `json:"macAddress,omitempty"`

	// servedBy is the node whose pod answered last.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServedBy string `json:"servedBy,omitempty"`

	// bytes that were sent to the machine.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes,omitempty"`

	// cause is the id of what is known to have stopped the boot; empty while it runs or is done.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cause string `json:"cause,omitempty"`

	// message says the cause, the evidence and what to do in a sentence.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// evidence is what was seen that shows the cause.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Evidence []BootEvidence `json:"evidence,omitempty"`

	// steps are the requests of the boot in order: the first one, and the latest.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Steps []BootStep `json:"steps,omitempty"`
}

// BootAction is what a machine is told to do.
type BootAction string

// The values of [BootAction].
const (
	BootActionNetboot   BootAction = "Netboot"
	BootActionBootLocal BootAction = "BootLocal"
)

// BootEvidence is one thing that was seen of a boot.
//
// +kubebuilder:validation:MaxLength=256
type BootEvidence string

// BootStep is a request of a boot, or several like ones in a row.
type BootStep struct {
	// time of the request.
	//
	// +required
	Time metav1.MicroTime `json:"time"`

	// stage that it belongs to. Example: Kernel
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Stage string `json:"stage,omitempty"`

	// name that was asked for. Example: grubnetx64.efi.signed
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`

	// protocol is TFTP or HTTP.
	//
	// +optional
	// +kubebuilder:validation:Enum=TFTP;HTTP
	// +kubebuilder:validation:MaxLength=8
	Protocol string `json:"protocol,omitempty"`

	// outcome is how it ended; empty while it runs. Example: served
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Outcome string `json:"outcome,omitempty"`

	// reason of an outcome that is not as it should be.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`

	// bytes that were sent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes,omitempty"`

	// size of the whole file in bytes; unset where it is not known.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Size *int64 `json:"size,omitempty"`

	// durationMilliseconds is how long it took.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationMilliseconds int64 `json:"durationMilliseconds,omitempty"`

	// retransmits is how many packets were sent once more.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retransmits int64 `json:"retransmits,omitempty"`

	// times is how many like requests in a row this stands for; unset: one.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Times int32 `json:"times,omitempty"`
}
